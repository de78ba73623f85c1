"""A delta: the part of a release packed as what differs from an older one, which a host and this machine both have.

The host unpacks it with `zstd --patch-from`. Both sides make the same reference: the sums of the older release, and
those of its files that the new one does not have.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from reconciler.artifact.archive import Prepared, load_release
from reconciler.artifact.pack import open_packed

if TYPE_CHECKING:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdCompressor
    else:
        from backports.zstd import ZstdCompressor

LARGEST_REFERENCE_BYTES: Final = 32 * 1024 * 1024
LARGEST_SUMS_BYTES: Final = 8 * 1024 * 1024
OLDEST_ZSTD: Final = (1, 4, 5)  # the first that knows --patch-from
MOST_OLD: Final = 3  # so many releases are looked for on this machine
_SMALLEST_WINDOW, _LARGEST_WINDOW = 18, 26  # as powers of two; with the largest the host's zstd takes 64 MiB
_FEW_BYTES: Final = 4 * 1024 * 1024  # the best level takes a second for so many
_BEST_LEVEL, _LEVEL = 19, 9
_RELEASE: Final = re.compile(r".+-([0-9a-f]{12})")


@dataclass(frozen=True)
class Base:
    """An older release, `name` on the host. `numbers` are the files that the new one lacks, as indices in its sums."""

    name: str
    prepared: Prepared
    numbers: tuple[int, ...]

    @property
    def sums_digest(self) -> str:
        """What the host compares with the sums that it has noted."""
        return hashlib.sha256(self.prepared.sums.encode()).hexdigest()

    def only(self, held: frozenset[str]) -> Base:
        """Return it with those of its files whose digests are among these."""
        digests = [line[:64] for line in self.prepared.sums.splitlines()]
        return Base(self.name, self.prepared, tuple(number for number in self.numbers if digests[number] in held))


def find_base(prepared: Prepared, releases: Sequence[str], program: str) -> Base | None:
    """Return the first of these releases that is on this machine as well. Blocks: call it in a thread."""
    for name in releases[:MOST_OLD]:
        found = _RELEASE.fullmatch(name)
        old = load_release(found[1], program=program) if found else None
        if old and old.sha256 != prepared.sha256 and len(old.sums) <= LARGEST_SUMS_BYTES:
            return Base(name, old, _lacking(old, prepared))
    return None


def resembles(base: Base, paths: Iterable[str]) -> bool:
    """True if one of these files has the name of one that the older release has in another form."""
    old = files_of(base.prepared)
    names = {PurePosixPath(old[number]).name for number in base.numbers}
    return any(PurePosixPath(path).name in names for path in paths)


def files_of(prepared: Prepared) -> list[str]:
    """Return the paths of its files, in the order of its sums."""
    return [entry.path for entry in sorted(prepared.entries) if entry.kind == "f"]


def reference_of(base: Base) -> tuple[bytes, tuple[int, ...]]:
    """Return what the delta refers to, and the numbers of the files in it: not all if they are too large."""
    paths = files_of(base.prepared)
    wanted = {paths[number]: number for number in base.numbers}
    room, found = LARGEST_REFERENCE_BYTES, dict[int, bytes]()
    with open_packed(base.prepared.packed) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # or it would keep all of them
            if member.name in wanted and member.size <= room and (content := archive.extractfile(member)):
                found[wanted[member.name]] = content.read()
                room -= member.size
    return base.prepared.sums.encode() + b"".join(found[number] for number in sorted(found)), tuple(sorted(found))


class ZstdWriter:
    """Writes one frame of zstd, which only a reader that has the reference can read."""

    def __init__(self, file: BinaryIO, reference: bytes, size: int) -> None:
        self._file, self._compressor = file, _compressor(reference, size)

    def write(self, content: bytes) -> None:
        self._file.write(self._compressor.compress(content))

    def finish(self) -> None:
        """Write what is left."""
        self._file.write(self._compressor.flush())


def packed_by(reference: bytes, content: bytes) -> bytes:
    """Return the content packed as what differs from the reference."""
    compressor = _compressor(reference, len(content))
    return compressor.compress(content) + compressor.flush()


def _compressor(reference: bytes, size: int) -> ZstdCompressor:
    if sys.version_info >= (3, 14):  # the module is imported where a release is uploaded, and in no other pass
        from compression.zstd import CompressionParameter, ZstdCompressor, ZstdDict
    else:
        from backports.zstd import CompressionParameter, ZstdCompressor, ZstdDict

    together = len(reference) + size
    options: dict[int, int] = {
        CompressionParameter.compression_level: _BEST_LEVEL if together <= _FEW_BYTES else _LEVEL,
        CompressionParameter.window_log: min(max(together.bit_length(), _SMALLEST_WINDOW), _LARGEST_WINDOW),
        CompressionParameter.enable_long_distance_matching: 1,
        CompressionParameter.checksum_flag: 1,
    }
    return ZstdCompressor(options=options, zstd_dict=ZstdDict(reference, is_raw=True).as_prefix)


def _lacking(old: Prepared, new: Prepared) -> tuple[int, ...]:
    there = {entry.sha256 for entry in new.entries if entry.kind == "f"}
    files = [entry for entry in sorted(old.entries) if entry.kind == "f"]
    return tuple(number for number, entry in enumerate(files) if entry.sha256 not in there)
