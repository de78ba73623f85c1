"""HTTP GET requests to a port of the host, over its transport. h11 speaks HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.host.transport import LOOPBACK, Reader, Transport, Writer

if TYPE_CHECKING:
    import h11

LONGEST_BODY = 16 * 1024 * 1024  # Traefik's raw data of a host with thousands of routes
LONGEST_UNREAD = 64 * 1024  # of a body that is not needed; reading a longer one would only save a new connection

Headers = tuple[tuple[str, str], ...]


NOT_HTTP = "the answer is not HTTP"


class NoAnswer(Exception):
    """There was no HTTP answer. `str()` says what happened instead, such as `no answer within 5 s`."""


class _ClosedUnasked(NoAnswer):
    """The server closed the connection before the first byte of an answer."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Its bytes are the server's own: make them safe before they are printed."""

    status: int
    body: bytes = b""
    location: bytes = b""


class HttpConnection:
    """Sends GETs from the host to a port of an address, one after the other.

    They share one connection for as long as the server keeps it open. `headers` go with every request; Host is the
    address with the port unless it is among them.
    """

    def __init__(self, host: Transport, port: int, headers: Headers = (), address: str = LOOPBACK) -> None:
        self._host, self._port, self._address = host, port, address
        named = {name.lower() for name, _ in headers}
        own = [("Host", f"{address}:{port}"), ("User-Agent", "reconcile"), ("Accept", "*/*")]
        pairs = [(name, value) for name, value in own if name.lower() not in named]
        self._headers = [(name.encode(), value.encode()) for name, value in (*pairs, *headers)]
        self._streams: tuple[Reader, Writer] | None = None
        self._state: h11.Connection | None = None
        self.opened = 0  # connections so far

    async def get(self, path: str, timeout_seconds: float = 5) -> tuple[int, bytes]:
        """Return (status, body). Raises NoAnswer, HostUnreachable, HostRefused."""
        answer = await self._within(timeout_seconds, path, LONGEST_BODY)
        if len(answer.body) > LONGEST_BODY:
            raise NoAnswer("the answer is too long")
        return answer.status, answer.body

    async def ask(self, path: str, timeout_seconds: float = 5) -> Answer:
        """Return the answer with the beginning of its body, however long that is. Raises as `get` does."""
        return await self._within(timeout_seconds, path, LONGEST_UNREAD)

    async def _within(self, timeout_seconds: float, path: str, most: int) -> Answer:
        try:
            with self._host.round_trips:
                async with asyncio.timeout(timeout_seconds):
                    return await self._exchange_anew(path, most)
        except TimeoutError:
            self.close()
            raise NoAnswer(f"no answer within {timeout_seconds:g} s") from None
        except ConnectionRefusedError:
            self.close()
            raise NoAnswer("connection refused") from None
        except OSError as error:
            self.close()
            raise NoAnswer(f"the connection broke ({type(error).__name__})") from None

    async def _exchange_anew(self, path: str, most: int) -> Answer:
        """Ask once more on a new connection if the server has closed the kept one: a short keep-alive is no failure."""
        kept = self._streams is not None
        try:
            return await self._exchange(path, most)
        except (OSError, _ClosedUnasked):
            if not kept:
                raise
        self.close()
        return await self._exchange(path, most)

    async def _exchange(self, path: str, most: int) -> Answer:
        import h11

        if self._streams is None or self._state is None:
            if self._address == LOOPBACK:
                self._streams = await self._host.connect(self._port)
            else:
                self._streams = await self._host.connect(self._port, self._address)
            self.opened += 1
            self._state = h11.Connection(h11.CLIENT)
        reader, writer = self._streams
        state = self._state
        try:
            writer.write(state.send(h11.Request(method="GET", target=path, headers=self._headers)) or b"")
            writer.write(state.send(h11.EndOfMessage()) or b"")
            answer = await _answer(state, reader, most)
        except h11.ProtocolError:  # h11's message repeats bytes from the server, which are not safe to print
            self.close()
            raise NoAnswer(NOT_HTTP) from None
        if state.our_state is h11.DONE and state.their_state is h11.DONE:
            state.start_next_cycle()
        else:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection. The next GET opens a new one."""
        streams, self._streams, self._state = self._streams, None, None
        if streams:
            streams[1].close()


async def _answer(state: h11.Connection, reader: Reader, most: int) -> Answer:
    """Return the answer. Stops reading once its body is longer than `most` bytes."""
    import h11

    status, location, body, begun = 0, b"", bytearray(), False
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data and not begun:
                raise _ClosedUnasked("the connection was closed without an answer")
            begun = True
            state.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            location = next((value for name, value in event.headers if name == b"location"), b"")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                return Answer(status, bytes(body), location)
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body), location)
