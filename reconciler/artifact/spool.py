"""Decompression within limits: from an artifact to the plain tar inside it, in a nameless file."""

from __future__ import annotations

import bz2
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from reconciler.errors import ArtifactRefused

GIB: Final = 1024**3
_CHUNK: Final = 256 * 1024
_EMPTY_BYTES: Final = 64 * 1024**2  # this much of an archive may compress to any ratio
_XZ_MEMORY_BYTES: Final = 256 * 1024**2  # `xz -9` needs 65 MiB; a header can ask for 4 GiB
_SMALLER: Final = "leave out what the release does not need"


@dataclass(frozen=True)
class Limits:
    """The space and work that an artifact may take from us and from a host."""

    artifact_bytes: int = 2 * GIB
    unpacked_bytes: int = 8 * GIB
    members: int = 200_000
    ratio: int = 200  # deflate reaches 1032 at most; a release seldom reaches 10

    @property
    def tar_bytes(self) -> int:
        """The maximum size of a tar within the other limits: its files, and up to three blocks of headers for each."""
        return self.unpacked_bytes + 1536 * self.members


class Source(Protocol):
    """A stream of bytes. `taken` is the number of bytes read so far."""

    taken: int

    def read(self, size: int) -> bytes: ...


class _Stream(Protocol):
    """The decompressor interface of `bz2` and `lzma`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gunzip:
    """zlib with the same interface. It checks the length and the CRC at the end of a stream."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        piece = self._zlib.decompress(self._waiting + data, max_length)
        self._waiting = self._zlib.unconsumed_tail
        return piece


_STREAMS: Final[dict[bytes, Callable[[], _Stream]]] = {
    b"\x1f\x8b": _Gunzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
}


def spool(source: Source, limits: Limits, folder: Path) -> BinaryIO:
    """Return the tar inside `source`, as a nameless file in `folder` that vanishes when closed.

    Raises ArtifactRefused.
    """
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the caller
    try:
        written = taken = excess = 0
        for piece in _decompress(source):
            written += len(piece)
            # Measured piece by piece, to notice a bomb that is only a part of an ordinary archive.
            excess = max(0, excess - limits.ratio * (source.taken - taken)) + len(piece)
            taken = source.taken
            if written > limits.tar_bytes:
                raise ArtifactRefused(f"it unpacks to more than {size_text(limits.unpacked_bytes)}", _SMALLER)
            if excess > _EMPTY_BYTES:
                raise ArtifactRefused(f"a part of it unpacks to more than {limits.ratio} times its size", _SMALLER)
            file.write(piece)
        if not written:
            raise ArtifactRefused("it is empty", "build the artifact again")
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _decompress(source: Source) -> Iterator[bytes]:
    head = source.read(_CHUNK)
    start = next((start for magic, start in _STREAMS.items() if head.startswith(magic)), None)
    if start:
        try:
            yield from _inflate(head, source, start)
        except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise ArtifactRefused(f"it is damaged: {error}", "build or upload the artifact again") from error
        return
    while head:
        yield head
        head = source.read(_CHUNK)


def _inflate(waiting: bytes, source: Source, start: Callable[[], _Stream]) -> Iterator[bytes]:
    """Yield the content of all streams of a file in order, as gzip, bzip2 and xz themselves read them."""
    while waiting:
        stream = start()
        while not stream.eof:
            if stream.needs_input and not waiting:
                waiting = source.read(_CHUNK)
                if not waiting:
                    raise EOFError("it ends too early")
            piece = stream.decompress(waiting, _CHUNK)
            waiting = b""
            if piece:
                yield piece
        waiting = stream.unused_data.lstrip(b"\0")  # some tools pad the end with zeros
        while not waiting and (more := source.read(_CHUNK)):
            waiting = more.lstrip(b"\0")


def size_text(count: int) -> str:
    """Return a size with its unit: 8589934592 → 8 GiB."""
    for unit, name in ((GIB, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"
