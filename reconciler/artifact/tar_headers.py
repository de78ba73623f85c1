"""Reads the headers of a tar with tarfile, and refuses what tarfile would take for an end or could be caught in."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Final, cast

from reconciler.errors import ArtifactRefused

_BLOCK: Final = tarfile.BLOCKSIZE
_LONGEST_HEADER: Final = 256 * 1024
_MOST_SHARED_HEADERS: Final = 1000
_AGAIN: Final = "build or upload the artifact again"


class _Headers:
    """The tar as a file object for tarfile, which may only read headers and seek forward."""

    def __init__(self, tar: memoryview) -> None:
        self._tar, self._at, self._ends_seen = tar, 0, 0

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise ArtifactRefused("it contains a header of an impossible size", _AGAIN)
        piece = bytes(self._tar[self._at : self._at + size])
        self._at += len(piece)
        # tarfile keeps reading at the end while it parses the map of some crafted sparse files.
        self._ends_seen += not piece
        if self._ends_seen > 3:
            raise EOFError("it ends too early")
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        # A negative size would send tarfile into a loop.
        if whence != 0 or offset < self._at:
            raise ArtifactRefused("it contains a member of an impossible size", _AGAIN)
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


def read_headers(tar: memoryview) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Yield the header of each member, in order, and where what is stored of it ends. Raises ArtifactRefused."""
    try:
        source = cast(IO[bytes], _Headers(tar))
        reader = tarfile.TarFile(fileobj=source, mode="r", encoding="utf-8", errors="surrogateescape")
        while (info := reader.next()) is not None:
            reader.members = []  # type: ignore[attr-defined]  # or it would keep all of them
            if len(reader.pax_headers) > _MOST_SHARED_HEADERS:
                raise ArtifactRefused("it contains too many PAX records", _AGAIN)
            yield info, reader.offset
    except tarfile.ReadError as error:
        raise ArtifactRefused(f"it is not a complete tar archive: {error}", _AGAIN) from error
    except (tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        reason = "too many headers in a row" if isinstance(error, RecursionError) else str(error)
        raise ArtifactRefused(f"its tar headers cannot be read: {reason}", _AGAIN) from error
    _check_end(tar, reader.offset)


def _check_end(tar: memoryview, at: int) -> None:
    """Raise ArtifactRefused unless only zeros follow. tarfile takes any header that it cannot read for the end."""
    if len(tar) - at < _BLOCK:
        raise ArtifactRefused("it is truncated: the end-of-archive mark is missing", _AGAIN)
    if bytes(tar[at : at + _BLOCK]).strip(b"\0"):
        raise ArtifactRefused(f"it is damaged: no tar header at byte {at}", _AGAIN)
    for start in range(at, len(tar), _LONGEST_HEADER):
        if bytes(tar[start : start + _LONGEST_HEADER]).strip(b"\0"):
            raise ArtifactRefused("it continues after the end-of-archive mark", "pack all files in one archive")
