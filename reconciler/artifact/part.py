"""The part of a release that a host does not have: what is uploaded, instead of all of it.

The rest is copied on the host, from releases that are there. Whatever came in which way, the host checks every file
against the same manifest before the release counts.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from reconciler.artifact.archive import Prepared
from reconciler.artifact.cache import cache_errors, cache_folder, forget_old, mark_used
from reconciler.artifact.delta import Base, ZstdWriter, files_of, packed_by, reference_of, resembles
from reconciler.artifact.pack import GzipWriter, open_packed
from reconciler.files import draft
from reconciler.tools.offer import ranges

MOST_TIMES: Final = 200  # different times that the files copied on the host may get: each is a command there
_SMALLEST_SAVING: Final = 0.1  # of the release's bytes. With less, the whole archive is sent as it is
_LEVEL: Final = 9  # it is small, and read by many hosts
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """`packed` is the .tar.gz to send. `held` names the files that are copied on the host, as held.sh reads it.

    With a `base`, `packed` is a delta from that release, as delta.sh reads it.
    """

    packed: Path
    packed_size: int
    held: str = ""
    held_bytes: int = 0
    files: int = 0  # that it has; links are not counted
    base: Base | None = None

    def manifest(self, prepared: Prepared) -> bytes:
        """Return the manifest of the release as hosts get it before this part: sums, tree and what is held, packed."""
        text = f"{prepared.sums}{prepared.tree}{self.held}".encode()
        return packed_by(self.base.prepared.sums.encode(), text) if self.base else gzip.compress(text, mtime=0)


def whole(prepared: Prepared) -> Part:
    """Return all of the release."""
    return Part(prepared.packed, prepared.packed_size, files=prepared.sums.count("\n"))


def part_of(prepared: Prepared, held: frozenset[str], base: Base | None = None) -> Part:
    """Return what to send to a host that has files with these digests, and `base`. Blocks: call it in a thread.

    Raises ArtifactError if the cache cannot be written.
    """
    paths = files_of(prepared)
    digests = {entry.path: entry.sha256 for entry in prepared.entries if entry.kind == "f"}
    wanted = {path: index for index, path in enumerate(paths) if digests[path] in held}
    if base and not (wanted or resembles(base, paths)):
        base = None
    if not wanted and not base:
        return whole(prepared)
    times, sizes = _times_and_sizes(prepared.packed)
    few = {seconds for seconds, _ in Counter(times[path] for path in wanted).most_common(MOST_TIMES)}
    copied = {path for path in wanted if times[path] in few}
    held_bytes = sum(sizes[path] for path in copied)
    missing = [path for path in paths if path not in copied]
    if held_bytes < _SMALLEST_SAVING * prepared.unpacked_size and not (base and resembles(base, missing)):
        return whole(prepared)
    text = _held_text({wanted[path]: times[path] for path in copied})
    size = sum(sizes[path] + 2 * tarfile.BLOCKSIZE for path in missing)
    packed, text = _packed(prepared, frozenset(copied), text, base, size)
    return Part(packed, packed.stat().st_size, text, held_bytes, len(missing), base)


def _times_and_sizes(packed: Path) -> tuple[dict[str, int], dict[str, int]]:
    times: dict[str, int] = {}
    sizes: dict[str, int] = {}
    with open_packed(packed) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # or it would keep all of them
            if member.isreg():
                times[member.name], sizes[member.name] = int(member.mtime), member.size
    return times, sizes


def _held_text(times: dict[int, int]) -> str:
    by_time: dict[int, list[int]] = {}
    for index in sorted(times):
        by_time.setdefault(times[index], []).append(index)
    return "".join(f"{seconds} {ranges(indices)}\n" for seconds, indices in sorted(by_time.items()))


def _packed(prepared: Prepared, copied: frozenset[str], text: str, base: Base | None, size: int) -> tuple[Path, str]:
    """Return the archive of all files but these, and of all links, and `held`. Hosts with the same share it."""
    reference = b""
    if base:
        reference, numbers = reference_of(base)
        text = f"from {hashlib.sha256(reference).hexdigest()} {ranges([*numbers])}\n{text}"
    name = hashlib.sha256(f"{prepared.packed_sha256}\n{text}".encode()).hexdigest()
    path = cache_folder("parts") / f"{name}.tar.{'zst' if base else 'gz'}"
    with cache_errors():
        if path.exists():
            mark_used(path)
            return path, text
        with draft(path) as new:
            if base:
                _write(prepared.packed, copied, ZstdWriter(new.file, reference, size))
            else:
                with GzipWriter(new.file, _LEVEL) as packing:
                    _write(prepared.packed, copied, packing)
            new.publish(path)
        forget_old(path.parent)
    return path, text


class _Writer(Protocol):
    def write(self, content: bytes) -> None: ...

    def finish(self) -> object: ...


def _write(packed: Path, copied: frozenset[str], packing: _Writer) -> None:
    with open_packed(packed) as archive:
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
    packing.finish()
