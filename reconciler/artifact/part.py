"""The part of a release that a host does not have: what is uploaded, instead of all of it.

The rest is copied on the host, from releases that are there. Whatever came in which way, the host checks every file
against the same manifest before the release counts.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.artifact.archive import Prepared
from reconciler.artifact.cache import cache_errors, cache_folder, forget_old, mark_used
from reconciler.artifact.pack import GzipWriter
from reconciler.files import draft
from reconciler.tools.offer import ranges

MOST_TIMES: Final = 200  # different times that the files copied on the host may get: each is a command there
_SMALLEST_SAVING: Final = 0.1  # of the release's bytes. With less, the whole archive is sent as it is
_LEVEL: Final = 9  # it is small, and read by many hosts
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """`packed` is the .tar.gz to send. `held` names the files that are copied on the host, as held.sh reads it."""

    packed: Path
    packed_size: int
    held: str = ""
    held_bytes: int = 0
    files: int = 0  # that it has; links are not counted


def whole(prepared: Prepared) -> Part:
    """Return all of the release."""
    return Part(prepared.packed, prepared.packed_size, files=prepared.sums.count("\n"))


def part_of(prepared: Prepared, held: frozenset[int]) -> Part:
    """Return what to send to a host that has the files with these indices in the manifest's sums. Blocks.

    Raises ArtifactError if the cache cannot be written.
    """
    paths = [entry.path for entry in sorted(prepared.entries) if entry.kind == "f"]
    wanted = {paths[index]: index for index in held if index < len(paths)}
    if not wanted:
        return whole(prepared)
    times, sizes = _times_and_sizes(prepared.packed, wanted)
    few = {seconds for seconds, _ in Counter(times.values()).most_common(MOST_TIMES)}
    copied = {path for path, seconds in times.items() if seconds in few}
    held_bytes = sum(sizes[path] for path in copied)
    if held_bytes < _SMALLEST_SAVING * prepared.unpacked_size:
        return whole(prepared)
    text = _held_text({wanted[path]: times[path] for path in copied})
    packed = _packed(prepared, frozenset(copied), text)
    return Part(packed, packed.stat().st_size, text, held_bytes, len(paths) - len(copied))


@contextmanager
def _opened(packed: Path) -> Iterator[tarfile.TarFile]:
    """Read an archive of ours from its start. It has many gzip members, which tarfile itself would not read."""
    with gzip.open(packed) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        yield archive


def _times_and_sizes(packed: Path, wanted: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    times: dict[str, int] = {}
    sizes: dict[str, int] = {}
    with _opened(packed) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # or it would keep all of them
            if member.name in wanted and member.isreg():
                times[member.name], sizes[member.name] = int(member.mtime), member.size
    return times, sizes


def _held_text(times: dict[int, int]) -> str:
    by_time: dict[int, list[int]] = {}
    for index in sorted(times):
        by_time.setdefault(times[index], []).append(index)
    return "".join(f"{seconds} {ranges(indices)}\n" for seconds, indices in sorted(by_time.items()))


def _packed(prepared: Prepared, copied: frozenset[str], text: str) -> Path:
    """Return the archive of all files but these, and of all links. It is made once for hosts that have the same."""
    name = hashlib.sha256(f"{prepared.packed_sha256}\n{text}".encode()).hexdigest()
    path = cache_folder("parts") / f"{name}.tar.gz"
    with cache_errors():
        if path.exists():
            mark_used(path)
            return path
        with draft(path) as new, GzipWriter(new.file, _LEVEL) as packing:
            _write(prepared.packed, copied, packing)
            packing.finish()
            new.publish(path)
        forget_old(path.parent)
    return path


def _write(packed: Path, copied: frozenset[str], packing: GzipWriter) -> None:
    with _opened(packed) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]
            if member.isdir() or member.name in copied:
                continue
            packing.write(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
            if content := archive.extractfile(member) if member.isreg() else None:
                while piece := content.read(_CHUNK):
                    packing.write(piece)
                packing.write(bytes(-member.size % tarfile.BLOCKSIZE))
    packing.write(bytes(2 * tarfile.BLOCKSIZE))
