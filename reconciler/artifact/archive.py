"""prepare(): turn an artifact into a release that is safe to unpack, or refuse it with a reason.

The artifact is opened once. Its bytes are hashed while they are decompressed into a nameless file, checked there,
and packed again in one canonical form. The new archive and its notes are cached under the artifact's digest, so the
next pass and the next host take milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

from reconciler.artifact.cache import (
    cache_errors,
    cache_folder,
    digest_of_file,
    forget_old,
    mark_used,
    open_regular,
    wrong_digest,
)
from reconciler.artifact.formats import HEAD_BYTES, foreign_format, foreign_format_of, is_compressed
from reconciler.artifact.members import Member, bare_program, read_members
from reconciler.artifact.pack import pack
from reconciler.artifact.spool import Limits, size_text, spool
from reconciler.errors import ArtifactError, ArtifactRefused
from reconciler.files import draft, write_whole
from reconciler.tools.elf import ElfFile, Requirements
from reconciler.tools.release import Entry, manifest_sums, manifest_tree, read_manifest

LIMITS: Final = Limits()
# Increase it whenever members.py, pack.py or the notes change, so that what older rules cached is ignored.
_RULES: Final = "v4"
_START_ERL: Final = "releases/start_erl.data"
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True)
class Prepared:
    """A checked release: `packed` is the .tar.gz to send; unpacked, it must match `sums` and `tree`."""

    sha256: str  # of the artifact as published
    packed: Path
    packed_sha256: str
    packed_size: int
    unpacked_size: int
    entries: tuple[Entry, ...]
    requirements: Requirements
    start_erl: str = ""  # "13.1.5 0.2.0", runtime and release version, in an Erlang or Elixir release
    top_folder: str = ""  # the single folder that held everything, stripped; empty if there was none

    @cached_property
    def sums(self) -> str:
        """The manifest as input for `sha256sum --check`."""
        return manifest_sums(self.entries)

    @cached_property
    def tree(self) -> str:
        """The manifest of kinds, modes and targets, for comparison with what `find` prints."""
        return manifest_tree(self.entries)

    @property
    def executables(self) -> tuple[str, ...]:
        """Paths of the programs in `bin/`, such as ("bin/hello",); without that folder, those at the top."""
        programs = [
            entry.path
            for entry in self.entries
            if (entry.kind == "l" or (entry.kind == "f" and entry.mode & 0o100))
            and not entry.path.endswith(".bat")  # mix writes one for Windows
        ]
        inside = tuple(path for path in programs if re.fullmatch(r"bin/[^/]+", path))
        return inside or tuple(path for path in programs if "/" not in path)


def prepare(artifact: Path, sha256: str, *, label: str = "", program: str = "", limits: Limits = LIMITS) -> Prepared:
    """Return the release in `artifact`, whose bytes must have this sha256. Blocks: call it in a thread.

    A bare program becomes a release of one file called `program`. Raises ArtifactError; its message begins with
    `label`, or with the file's name if there is no label.
    """
    if ready := load_prepared(sha256, program=program, limits=limits):
        return ready
    try:
        with open_regular(artifact) as file, _spool_verified(file, sha256, limits) as tar:
            return _prepare(tar, sha256, program, limits)
    except ArtifactError as error:
        raise type(error)(f"{label or artifact.name}: {error}", error.next_step) from error


def load_prepared(sha256: str, *, program: str = "", limits: Limits = LIMITS) -> Prepared | None:
    """Return what prepare() cached for this artifact, without reading the artifact; None if it is absent or damaged."""
    ready = _load(sha256, "", limits)
    return _load(sha256, program, limits) if ready is None and program else ready


def load_release(release_digest: str, *, program: str = "") -> Prepared | None:
    """Return what prepare() cached for the artifact whose digest begins like this; None if it is absent or damaged."""
    for notes in sorted(cache_folder("prepared").glob(f"{_start_of_digest(release_digest)}*-{_RULES}.json")):
        if re.match("[0-9a-f]{64}-", notes.name) and (ready := load_prepared(notes.name[:64], program=program)):
            return ready
    return None


def load_paths(release_digest: str) -> list[str] | None:
    """Return the paths in a prepared release, found by the start of its artifact's digest; None if it is not cached."""
    entries = _load_entries(release_digest)
    return None if entries is None else [entry.path for entry in entries]


def load_digests(release_digest: str) -> frozenset[str]:
    """Return the digests of the files in a prepared release, found in the same way; none if it is not cached."""
    return frozenset(entry.sha256 for entry in _load_entries(release_digest) or () if entry.kind == "f")


def _load_entries(release_digest: str) -> tuple[Entry, ...] | None:
    """Read the notes of a release without its archive: they tell what it has, and are no proof of its bytes."""
    for notes in sorted(cache_folder("prepared").glob(f"{_start_of_digest(release_digest)}*-{_RULES}.json")):
        try:
            return _read_notes(json.loads(notes.read_bytes()), notes.with_suffix(".tar.gz")).entries
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return None


def _start_of_digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{12,64}", text):
        raise ValueError("the start of a digest must be 12 to 64 lower-case hex digits")
    return text


def _load(sha256: str, program: str, limits: Limits) -> Prepared | None:
    packed, notes = _places(sha256, program)
    try:
        ready = _read_notes(json.loads(notes.read_bytes()), packed)
        if ready.sha256 != sha256 or digest_of_file(packed) != ready.packed_sha256:
            return None
    except (OSError, ArtifactError, ValueError, LookupError, TypeError):
        return None
    if ready.unpacked_size > limits.unpacked_bytes or len(ready.entries) > limits.members:
        return None
    mark_used(packed)
    mark_used(notes)
    return ready


class _Hashed:
    """A file read from its start, with the digest of the bytes read so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.taken = file, hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._digest.update(piece)
        self.taken += len(piece)
        return piece

    def digest(self, limit: int) -> str:
        """Read the rest of the file, up to `limit` bytes in all, and return the digest as hex digits."""
        while self.taken <= limit and self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


def _spool_verified(file: BinaryIO, sha256: str, limits: Limits) -> BinaryIO:
    source = _Hashed(file)
    folder = cache_folder("prepared")
    refused: ArtifactRefused | None = None
    with cache_errors():
        try:
            tar = spool(source, limits, folder)
        except ArtifactRefused as error:
            refused = error
        # A wrong digest is reported first, whatever else is wrong with the bytes.
        found = source.digest(limits.artifact_bytes)
    if source.taken > limits.artifact_bytes:
        raise ArtifactRefused(f"it is larger than {size_text(limits.artifact_bytes)}", "leave out what is not needed")
    if found != sha256:
        raise wrong_digest(sha256, found, foreign_format_of(file))
    if refused:
        raise refused
    return tar


def _prepare(tar: BinaryIO, sha256: str, program: str, limits: Limits) -> Prepared:
    # Not closed explicitly: an error that is being raised may still refer to a slice. The last reference frees it.
    content = memoryview(mmap.mmap(tar.fileno(), 0, access=mmap.ACCESS_READ))
    if is_compressed(bytes(content[:6])):
        raise ArtifactRefused("it is compressed twice", "compress it once, or publish it as a .tar")
    if other := foreign_format(bytes(content[:HEAD_BYTES]), bytes(content[-HEAD_BYTES:])):
        raise ArtifactRefused(f"it is {other.name}", other.next_step)
    bare = program if bytes(content[:4]) == b"\x7fELF" else ""
    members, top = (bare_program(bare, len(content)), "") if bare else read_members(content, limits)
    packed_path, notes_path = _places(sha256, bare)
    with cache_errors(), draft(packed_path) as new:
        packed = pack(members, content, new.file)
        new.publish(packed_path)
    ready = Prepared(
        sha256=sha256,
        packed=packed_path,
        packed_sha256=packed.sha256,
        packed_size=packed.size,
        unpacked_size=sum(member.size for member in members),
        entries=packed.entries,
        requirements=packed.requirements,
        start_erl=_start_erl(members, content),
        top_folder=top,
    )
    with cache_errors():
        write_whole(notes_path, json.dumps(_notes(ready)).encode())
        forget_old(packed_path.parent)
    return ready


def _start_erl(members: tuple[Member, ...], content: memoryview) -> str:
    for member in members:
        if member.path == _START_ERL and member.size <= 256:
            text = bytes(member.content(content)).decode("utf-8", "replace").strip()
            return text if re.fullmatch(r"[\w.+~-]+ [\w.+~-]+", text) else ""
    return ""


def _places(sha256: str, program: str) -> tuple[Path, Path]:
    """Return the cache files of a release: archive and notes. The name of a bare program is part of the release."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError("a digest must be 64 lower-case hex digits")
    folder = cache_folder("prepared")
    name = f"{sha256}-{program}-{_RULES}" if program else f"{sha256}-{_RULES}"
    return folder / f"{name}.tar.gz", folder / f"{name}.json"


def _notes(ready: Prepared) -> dict[str, Any]:
    body = {
        "sha256": ready.sha256,
        "packed_sha256": ready.packed_sha256,
        "packed_size": ready.packed_size,
        "unpacked_size": ready.unpacked_size,
        "start_erl": ready.start_erl,
        "top_folder": ready.top_folder,
        "sums": ready.sums,
        "tree": ready.tree,
        "requirements": asdict(ready.requirements),
    }
    return {"body": body, "check": _check_of(body)}


def _read_notes(notes: Mapping[str, Any], packed: Path) -> Prepared:
    """Return the release that _notes() wrote down. Raises ValueError, LookupError or TypeError for anything else."""
    body = notes["body"]
    entries = read_manifest(body["sums"], body["tree"])
    if notes["check"] != _check_of(body) or entries is None:
        raise ValueError("damaged")
    needs = body["requirements"]
    files = tuple(
        ElfFile(**{**file, "libraries": tuple(file["libraries"]), "versions": tuple(map(tuple, file["versions"]))})
        for file in needs["files"]
    )
    same = ("sha256", "packed_sha256", "packed_size", "unpacked_size", "start_erl", "top_folder")
    return Prepared(
        packed=packed,
        entries=entries,
        requirements=Requirements(files, tuple(needs["shipped"])),
        **{key: body[key] for key in same},
    )


def _check_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
