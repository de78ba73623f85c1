"""Compression of a connection, in place of asyncssh's own: little memory for each, and a limit on what comes out.

Imported once there is a connection to compress: it imports asyncssh.
"""

from __future__ import annotations

import zlib
from functools import cache

from asyncssh import compression

LARGEST_PACKET_BYTES = 256 * 1024  # OpenSSH's own limit
_WINDOW_BITS, _MEMORY_LEVEL = 13, 5  # 50 kB in all; the usual ones take 260 kB


class Compressor(compression.Compressor):
    """Compresses what is sent, packet by packet. Level 1: what is long, an artifact, is compressed already."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)

    def compress(self, data: bytes) -> bytes | None:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)


class Decompressor(compression.Decompressor):
    """Unpacks what a host sends. For a packet that is malformed or too large it returns None: the connection ends."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def decompress(self, data: bytes) -> bytes | None:
        try:
            packet = self._stream.decompress(data, LARGEST_PACKET_BYTES)
        except zlib.error:
            return None
        return None if self._stream.unconsumed_tail else packet


@cache
def compression_algorithms() -> list[str]:
    """Return the algorithms to offer to a host, compression first. It begins after the login."""
    compression.register_compression_alg(b"zlib@openssh.com", Compressor, Decompressor, after_auth=True, default=False)
    return ["zlib@openssh.com", "none"]
