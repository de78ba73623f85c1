"""The source of an artifact: the digest it must have, and the bytes that have it.

A source is a path relative to the desired-state folder, or a place where artifacts are published; `{version}` in it
is replaced. A published artifact is cached by its digest; a local file is used in place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, assert_never

from reconciler.artifact.cache import (
    cache_errors,
    cache_folder,
    digest_of_file,
    forget_old,
    mark_used,
    open_regular,
    wrong_digest,
)
from reconciler.artifact.download import Progress, check_address
from reconciler.artifact.formats import foreign_format_of
from reconciler.artifact.store import FileStore, Store, WebStore
from reconciler.errors import ArtifactError, ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.files import draft
from reconciler.model.source import (
    BucketObject,
    GitHubAsset,
    LocalFile,
    NotASource,
    RegistryTag,
    WebAddress,
    fill_in_version,
    read_source,
)

SUMS_NAME: Final = "SHA256SUMS"
_SUMS_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)")

# A file's bytes do not change without its size, date or inode. Kept for this process only.
_digests: dict[tuple[str, int, int, int, int], str] = {}


def open_store(source: str, version: str, folder: Path) -> Store:
    """Return the store that `source` names for this version. Raises ArtifactRefused if it is not a source."""
    try:
        place = read_source(source, version)
    except NotASource as error:
        raise ArtifactRefused(f"artifact.source {error}", error.next_step) from None
    text = fill_in_version(source, version)
    match place:
        case LocalFile():
            return FileStore(folder / place.path)
        case WebAddress():
            check_address(place.address)
            return WebStore(place.address)
        case GitHubAsset():
            from reconciler.artifact.github import GitHubStore

            return GitHubStore(place, text)
        case BucketObject():
            from reconciler.artifact.bucket import BucketStore

            return BucketStore(place, text)
        case RegistryTag():
            from reconciler.artifact.registry import RegistryStore

            return RegistryStore(place, text)
        case _:
            assert_never(place)


async def digest_of(source: str, sha256: str | None, version: str, folder: Path) -> str:
    """Return the sha256 that the artifact must have. Raises ArtifactMissing if it is not published (yet).

    The first of these: `sha256`; the artifact's line in a SHA256SUMS beside it; the digest that the place states
    (GitHub, a registry); for a path, the digest of the file now.
    """
    store = open_store(source, version, folder)
    if sha256:
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
            raise ArtifactRefused("artifact.sha256 is not 64 hex digits", "copy it from the output of sha256sum")
        return sha256.lower()
    if digest := await stated_digest(store):
        return digest
    if isinstance(store, FileStore):
        return await asyncio.to_thread(_digest_of_path, store.path)
    raise ArtifactMissing(
        f"the sha256 of {store.label} is not published",
        f"set artifact.sha256 (reconcile set does), or publish a {SUMS_NAME} beside it that lists it",
    )


async def stated_digest(store: Store) -> str | None:
    """Return the published sha256 of the artifact, without reading the artifact; None if there is none."""
    name = await store.name()
    listed = digest_in_sums(await store.text(SUMS_NAME) or "", name)
    stated = await store.published_digest()
    if listed and stated and listed != stated:
        raise ArtifactRefused(
            f"{store.label}: {SUMS_NAME} gives another digest for {name} than its source\n"
            f"  {SUMS_NAME} {listed}\n  stated     {stated}",
            f"publish the artifact and its {SUMS_NAME} again, under a new version",
        )
    return listed or stated


async def fetch(
    source: str, sha256: str, version: str, folder: Path, progress: Progress = lambda done, total: None
) -> Path:
    """Return a file with these bytes: the local file itself, or a cached copy of the published artifact.

    The reader must check the digest again over the exact bytes it uses, as prepare() does: a local file can change
    at any time. Raises ArtifactError.
    """
    store = open_store(source, version, folder)
    if isinstance(store, FileStore):
        found = await asyncio.to_thread(_digest_of_path, store.path)
        if found != sha256:
            with open_regular(store.path) as file:
                raise _error_about(store.label, wrong_digest(sha256, found, foreign_format_of(file)))
        return store.path
    cached = cache_folder("artifacts") / sha256
    if await asyncio.to_thread(_is_whole, cached, sha256):
        return cached
    await _save_to_cache(store, sha256, progress)
    return cached


async def measure(source: str, version: str, folder: Path, progress: Progress) -> str:
    """Return the artifact's sha256. If it is not published, the artifact is read in full and stays in the cache.

    Raises ArtifactRefused rather than the digest of something that is no artifact, such as a login page.
    """
    store = open_store(source, version, folder)
    if digest := await stated_digest(store):
        return digest
    if isinstance(store, FileStore):
        if store.path.is_file():
            with open_regular(store.path) as file:
                _refuse_other_format(file, store.label)
        return await asyncio.to_thread(_digest_of_path, store.path)
    return await _save_to_cache(store, None, progress)


async def public_address(source: str, version: str, folder: Path) -> str:
    """Return an address that a host can read without a login. It may be signed: treat it as a secret."""
    store = open_store(source, version, folder)
    address = await store.public_address()
    # It is written into a curl config, in quotes.
    if address is None or not re.fullmatch(r"https://[!#-\[\]-~]+", address):
        raise ArtifactRefused(
            f"{store.label} cannot be read by a host without a login",
            "leave out fetch: host, so that reconcile uploads it",
        )
    return address


def label_of(source: str, version: str, folder: Path) -> str:
    """Return the artifact's place in printable form, without password or token."""
    return open_store(source, version, folder).label


def digest_in_sums(text: str, name: str) -> str | None:
    """Return the digest of `name` in the output of `sha256sum`, or None. Raises ArtifactRefused if there are two."""
    found = {line[1].lower() for line in map(_SUMS_LINE.fullmatch, text.splitlines()) if line and line[2] == name}
    if len(found) > 1:
        raise ArtifactRefused(f"{SUMS_NAME} gives two digests for {name}", "keep one line for each file")
    return found.pop() if found else None


async def _save_to_cache(store: Store, wanted: str | None, progress: Progress) -> str:
    folder = cache_folder("artifacts")
    with ExitStack() as stack:
        with cache_errors():
            new = stack.enter_context(draft(folder / "artifact"))
        found = await store.save(new.file, progress)
        if wanted and found != wanted:
            raise _error_about(store.label, wrong_digest(wanted, found, foreign_format_of(new.file)))
        if wanted is None:
            _refuse_other_format(new.file, store.label)
        with cache_errors():
            await asyncio.to_thread(new.publish, folder / found)
    await asyncio.to_thread(forget_old, folder)
    return found


def _refuse_other_format(file: BinaryIO, label: str) -> None:
    if other := foreign_format_of(file):
        raise ArtifactRefused(f"{label}: it is {other.name}", other.next_step)


def _is_whole(cached: Path, sha256: str) -> bool:
    """True if the cache has these bytes. Removes a cached file with any other bytes."""
    if not cached.exists():
        return False
    with cache_errors():
        if digest_of_file(cached) == sha256:
            mark_used(cached)
            return True
        cached.unlink(missing_ok=True)
    return False


def _digest_of_path(path: Path) -> str:
    """Return the sha256 of the file's bytes now."""
    if not os.path.lexists(path):
        raise ArtifactMissing(f"the artifact {path} is not there", "build it, or correct artifact.source")
    with open_regular(path) as file:
        before = _identity(path, os.fstat(file.fileno()))
        if known := _digests.get(before):
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _identity(path, os.fstat(file.fileno())) != before:
            raise ArtifactUnavailable(f"the artifact {path} changed while it was read", "try again when it is built")
    _digests[before] = digest
    return digest


def _identity(path: Path, status: os.stat_result) -> tuple[str, int, int, int, int]:
    return str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _error_about(place: str, error: ArtifactError) -> ArtifactError:
    return type(error)(f"{place}: {error}", error.next_step)
