"""A TCP proxy that simulates distance, a broken connection and a silent one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024
WINDOW_CHUNKS = 64


class DelayProxy:
    """Relays 127.0.0.1:`port` to a target, each way late by half of `round_trip_seconds`.

    To connect takes one more round trip, seen before the first answer. Each way takes no more than `bytes_per_second`.

    `cut_after`, `black_hole` and `heal` may be called from any thread while it runs.
    """

    def __init__(
        self, address: str, port: int, round_trip_seconds: float = 0.0, bytes_per_second: float = math.inf
    ) -> None:
        self.target = (address, port)
        self.bytes_per_second = bytes_per_second
        self.round_trip_seconds = round_trip_seconds
        self.port = 0
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._bytes_until_cut: int | None = None
        self._pairs: set[_Pair] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flowing = asyncio.Event()
        self._stopped = asyncio.Event()

    def cut_after(self, bytes_up: int) -> None:
        """Reset every connection after this many more bytes went up; later connections are not affected."""
        self._bytes_until_cut = bytes_up
        if bytes_up <= 0:
            self._call(self._cut)

    def black_hole(self) -> None:
        """From now on nothing arrives and nothing closes, on new connections too."""
        self._call(self._flowing.clear)

    def heal(self) -> None:
        """Deliver the bytes that were held back, as TCP would, and continue."""
        self._call(self._flowing.set)

    @contextlib.contextmanager
    def running(self) -> Iterator[DelayProxy]:
        """Run in a thread of its own; every connection is reset at the end."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="delay-proxy", daemon=True)
        thread.start()
        if not ready.wait(10):
            raise RuntimeError("the delay proxy did not start")
        try:
            yield self
        finally:
            self._call(self._stopped.set)
            thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._flowing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopped.wait()
        server.close()
        self._cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = _Side(reader, writer)
        await asyncio.sleep(self.round_trip_seconds)
        await self._flowing.wait()
        try:
            target = _Side(*await asyncio.open_connection(*self.target, limit=CHUNK_BYTES))
        except OSError:
            client.reset()
            return
        pair = _Pair(client, target)
        self._pairs.add(pair)
        relays = (self._relay(client, target, self._count_up), self._relay(target, client, self._count_down))
        await asyncio.gather(*relays, return_exceptions=True)
        self._pairs.discard(pair)
        pair.reset()

    async def _relay(self, source: _Side, sink: _Side, count: Callable[[bytes], bytes]) -> None:
        clock = asyncio.get_running_loop().time
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW_CHUNKS)

        async def receive() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.reader.read(CHUNK_BYTES)
                except OSError:
                    data = b""
                await on_the_way.put((clock() + self.round_trip_seconds / 2, data))

        free = clock()  # when the last bytes are through
        receiving = asyncio.create_task(receive())
        try:
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - clock())
                await self._flowing.wait()
                free = max(free, clock()) + len(data) / self.bytes_per_second
                await asyncio.sleep(free - clock())
                if not data or sink.writer.is_closing():
                    break
                sink.writer.write(count(data))
                await sink.writer.drain()
            with contextlib.suppress(OSError):
                sink.writer.write_eof()
        finally:
            receiving.cancel()

    def _count_up(self, data: bytes) -> bytes:
        left = self._bytes_until_cut
        if left is not None:
            data = data[:left]
            self._bytes_until_cut = left - len(data)
            if self._bytes_until_cut <= 0:
                # The last bytes leave first; the reset follows in the next turn of the loop.
                self._call(self._cut)
        self.bytes_up += len(data)
        return data

    def _count_down(self, data: bytes) -> bytes:
        self.bytes_down += len(data)
        return data

    def _cut(self) -> None:
        self._bytes_until_cut = None
        for pair in self._pairs:
            pair.reset()

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


@dataclass(frozen=True, eq=False)
class _Side:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        """Close with a reset, not in order: the other side must not take it for an end."""
        if (raw := self.writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass(frozen=True, eq=False)
class _Pair:
    client: _Side
    target: _Side

    def reset(self) -> None:
        self.client.reset()
        self.target.reset()
