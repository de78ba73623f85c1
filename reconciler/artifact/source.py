"""Where an artifact comes from: which digest is wanted, and the bytes that have it.

A source is a path from the desired-state folder, an absolute path, or an https:// address; `{version}` in it
is replaced. What comes from an address is kept in the cache by its digest; a path is used where it lies.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.artifact.cache import (
    cache_errors,
    cache_folder,
    digest_of_file,
    forget_old,
    mark_used,
    open_regular,
    settle,
    temporary_beside,
    wrong_digest,
)
from reconciler.artifact.download import beside, check_address, download, download_text, file_name, shown
from reconciler.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable

Progress = Callable[[int, int | None], None]

_SUMS_NAME: Final = "SHA256SUMS"
_SUMS_BYTES: Final = 1024 * 1024
_SUMS_SECONDS: Final = 60.0  # a watching controller asks for the list this often, not at every pass
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_SUMS_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)")

# What a file's bytes are cannot change without its size, date or inode; kept for this process only.
_digests: dict[tuple[str, int, int, int, int], str] = {}
_lists: dict[str, tuple[float, str | None]] = {}


def locate(source: str, version: str, folder: Path) -> Path | str:
    """The path, or else the address, that `source` means; ArtifactRefused when it can be neither."""
    text = source.replace("{version}", version)
    scheme = _SCHEME.match(text)
    if not text.strip() or "\0" in text:
        raise ArtifactRefused("the artifact source is empty or holds a NUL", "set artifact.source to a path or address")
    if scheme is None:
        return folder / text
    name = scheme[1].lower()
    if name in ("https", "http"):
        check_address(text)
        return text
    state = "not supported yet" if name in ("s3", "github") else "unknown"
    raise ArtifactRefused(
        f"artifact sources that begin with {name}: are {state}",
        "use a path or an https:// address (a path with a colon: write ./ before it)",
    )


async def digest_of(source: str, sha256: str | None, version: str, folder: Path) -> str | None:
    """The sha256 the artifact has to have; None only if nothing states one and there is no file to ask.

    In this order: the one given; its line in a SHA256SUMS beside it; for a path, what the file has now.
    """
    place = locate(source, version, folder)
    if sha256:
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
            raise ArtifactRefused("artifact.sha256 is not 64 hex digits", "copy it from the output of sha256sum")
        return sha256.lower()
    if isinstance(place, Path):
        return await asyncio.to_thread(_stated_beside, place) or await asyncio.to_thread(_digest_of_path, place)
    if stated := digest_in_sums(await _published_list(place) or "", file_name(place)):
        return stated
    raise ArtifactRefused(
        f"nothing says which sha256 {shown(place)} should have",
        f"set artifact.sha256, or publish a {_SUMS_NAME} with a line for it beside it",
    )


async def fetch(
    source: str, sha256: str, version: str, folder: Path, progress: Progress = lambda done, total: None
) -> Path:
    """A file that has these bytes: the path itself, or a cached copy of what the address gave.

    `progress` is called with the bytes so far and, where known, their total. Whoever reads the file checks
    its digest again over the very bytes it uses (prepare() does): a path can change at any time.
    """
    place = locate(source, version, folder)
    if isinstance(place, str):
        return await _fetch_address(place, sha256, progress)
    found = await asyncio.to_thread(_digest_of_path, place)
    if found is None:
        raise ArtifactUnavailable(f"the artifact {place} is not there", "build it, or correct artifact.source")
    if found != sha256:
        raise _about(str(place), wrong_digest(sha256, found))
    return place


def digest_in_sums(text: str, name: str) -> str | None:
    """The digest that a list as `sha256sum` writes it gives for `name`; refused when it gives two."""
    found = {line[1].lower() for line in map(_SUMS_LINE.fullmatch, text.splitlines()) if line and line[2] == name}
    if len(found) > 1:
        raise ArtifactRefused(f"{_SUMS_NAME} gives two digests for {name}", "keep one line for each file")
    return found.pop() if found else None


async def _fetch_address(address: str, sha256: str, progress: Progress) -> Path:
    cached = cache_folder("artifacts") / sha256
    if await asyncio.to_thread(_is_whole, cached, sha256):
        return cached
    temporary = temporary_beside(cached)
    try:
        with cache_errors():
            file = temporary.open("xb")
        with file:

            def keep(piece: bytes) -> None:
                with cache_errors():
                    file.write(piece)

            found = await download(address, keep, progress)
            if found != sha256:
                raise _about(shown(address), wrong_digest(sha256, found))
            with cache_errors():
                await asyncio.to_thread(settle, file, temporary, cached)
    finally:
        temporary.unlink(missing_ok=True)
    await asyncio.to_thread(forget_old, cached.parent)
    return cached


def _is_whole(cached: Path, sha256: str) -> bool:
    """Whether the cache has these bytes; what it has instead of them is removed."""
    if not cached.exists():
        return False
    with cache_errors():
        if digest_of_file(cached) == sha256:
            mark_used(cached)
            return True
        cached.unlink(missing_ok=True)
    return False


async def _published_list(address: str) -> str | None:
    """The text of the SHA256SUMS beside an address, or None if there is none."""
    place = beside(address, _SUMS_NAME)
    asked, text = _lists.get(place, (-_SUMS_SECONDS, None))
    if time.monotonic() - asked >= _SUMS_SECONDS:
        text = await download_text(place, _SUMS_BYTES)
        _lists[place] = (time.monotonic(), text)
    return text


def _stated_beside(path: Path) -> str | None:
    place = path.with_name(_SUMS_NAME)
    if not place.is_file():
        return None
    with open_regular(place) as file:
        text = file.read(_SUMS_BYTES)
    return digest_in_sums(text.decode("utf-8", "replace"), path.name)


def _digest_of_path(path: Path) -> str | None:
    """The digest of the file's bytes now, or None when there is no file."""
    if not os.path.lexists(path):
        return None
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


def _about(place: str, error: ArtifactError) -> ArtifactError:
    return type(error)(f"{place}: {error}", error.next_step)
