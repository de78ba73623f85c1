"""Files that are stored without their holes: GNU tar does so with --sparse, and macOS by itself with what Go links."""

from __future__ import annotations

import mmap
import tarfile
from collections.abc import Sequence
from typing import NamedTuple, cast


class Piece(NamedTuple):
    """A part of a file that is not a hole. The archive stores the pieces of a file one after the other."""

    at: int  # in the file
    size: int


def read_pieces(info: tarfile.TarInfo, room: int) -> tuple[Piece, ...]:
    """Return the pieces of a sparse file of which `room` bytes are stored. Raises ValueError for a wrong map."""
    pieces = tuple(Piece(at, size) for at, size in cast(list[tuple[int, int]], info.sparse))
    end = 0
    for piece in pieces:
        if piece.size < 0 or (piece.size and piece.at < end):
            raise ValueError("its pieces overlap")
        end = max(end, piece.at + piece.size)
    if end > info.size:
        raise ValueError("its pieces go beyond its end")
    if sum(piece.size for piece in pieces) > room:
        raise ValueError("the archive ends inside it")
    return tuple(piece for piece in pieces if piece.size)


def with_holes(stored: memoryview, pieces: Sequence[Piece], size: int) -> memoryview:
    """Return the whole file. Holes take no memory before they are written to."""
    if not size:
        return memoryview(b"")
    whole = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    taken = 0
    for piece in pieces:
        whole[piece.at : piece.at + piece.size] = stored[taken : taken + piece.size]
        taken += piece.size
    return whole
