"""HTTP GET requests to a port of the host, over its transport. h11 speaks HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.host.transport import Reader, Transport, Writer

if TYPE_CHECKING:
    import h11

LONGEST_BODY = 16 * 1024 * 1024  # Traefik's raw data of a host with thousands of routes
LONGEST_UNREAD = 64 * 1024  # of a body that is not needed; reading a longer one would only save a new connection


class NoAnswer(Exception):
    """There was no HTTP answer. `str()` says what happened instead, such as `no answer within 5 s`."""


class HttpConnection:
    """Sends GETs to one port, one after the other, on one connection for as long as the server keeps it open."""

    def __init__(self, host: Transport, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[Reader, Writer] | None = None
        self._state: h11.Connection | None = None

    async def get(self, path: str, timeout_seconds: float = 5) -> tuple[int, bytes]:
        """Return (status, body). Raises NoAnswer, HostUnreachable, HostRefused."""
        status, body = await self._within(timeout_seconds, path, LONGEST_BODY)
        if len(body) > LONGEST_BODY:
            raise NoAnswer("the answer is too long")
        return status, body

    async def status(self, path: str, timeout_seconds: float = 5) -> int:
        """Return the status only, whatever the length of the body. Raises as `get` does."""
        return (await self._within(timeout_seconds, path, LONGEST_UNREAD))[0]

    async def _within(self, timeout_seconds: float, path: str, most: int) -> tuple[int, bytes]:
        try:
            with self._host.round_trips:
                async with asyncio.timeout(timeout_seconds):
                    return await self._exchange(path, most)
        except TimeoutError:
            self.close()
            raise NoAnswer(f"no answer within {timeout_seconds:g} s") from None
        except ConnectionRefusedError:
            self.close()
            raise NoAnswer("connection refused") from None
        except OSError as error:
            self.close()
            raise NoAnswer(f"the connection broke ({type(error).__name__})") from None

    async def _exchange(self, path: str, most: int) -> tuple[int, bytes]:
        import h11

        if self._streams is None or self._state is None:
            self._streams = await self._host.connect(self._port)
            self._state = h11.Connection(h11.CLIENT)
        reader, writer = self._streams
        state = self._state
        headers = [("Host", f"127.0.0.1:{self._port}"), ("User-Agent", "reconcile"), ("Accept", "*/*")]
        try:
            writer.write(state.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
            writer.write(state.send(h11.EndOfMessage()) or b"")
            status, body = await _answer(state, reader, most)
        except h11.ProtocolError:  # h11's message repeats bytes from the server, which are not safe to print
            self.close()
            raise NoAnswer("the answer is not HTTP") from None
        if state.our_state is h11.DONE and state.their_state is h11.DONE:
            state.start_next_cycle()
        else:
            self.close()
        return status, body

    def close(self) -> None:
        """Close the connection. The next GET opens a new one."""
        streams, self._streams, self._state = self._streams, None, None
        if streams:
            streams[1].close()


async def _answer(state: h11.Connection, reader: Reader, most: int) -> tuple[int, bytes]:
    """Return the status and the body. Stops reading once the body is longer than `most` bytes."""
    import h11

    status, body = 0, bytearray()
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            state.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                return status, bytes(body)
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise NoAnswer("the connection was closed without an answer")
