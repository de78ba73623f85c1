"""A small HTTP server for a few fixed paths, and a handler for all others. It does not know what a path means.

It serves one request per connection, and limits their size, time and number. It is meant for clients on this machine,
or for a proxy that terminates TLS.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Final

import h11

from reconciler.errors import UsageError

Answer = tuple[int, str, bytes]  # status, content type, body
Headers = Mapping[str, tuple[str, ...]]  # names in lower case; a header may occur more than once
Get = Callable[[], Answer]
Post = Callable[[Headers, bytes], Answer]


@dataclass(frozen=True)
class Request:
    """A GET or HEAD of a path that is not one of the fixed ones."""

    path: str
    query: str
    headers: Headers


@dataclass(frozen=True)
class Response:
    """An answer with headers of its own. A body that is a stream is sent as it comes, for as long as it does."""

    status: int
    kind: str
    body: bytes | AsyncGenerator[bytes, None]
    headers: tuple[tuple[str, str], ...] = ()


Page = Callable[[Request], Awaitable[Response]]

LARGEST_BODY: Final = 1 << 20
_LARGEST_HEAD: Final = 16 * 1024
_MOST_CONNECTIONS: Final = 256
_READ_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 10.0
_PAGE_SECONDS: Final = 30.0
_LINGER_SECONDS: Final = 1.0
TEXT: Final = "text/plain; charset=utf-8"


class _Refused(Exception):
    """The request is answered with this status, and the rest of it is not read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class _Paths:
    get: Mapping[str, Get]
    post: Mapping[str, Post]
    read_seconds: float
    page: Page | None = None
    open: dict[asyncio.Task[None], asyncio.WriteTransport] = field(default_factory=dict)  # oldest first

    def make_room(self) -> None:
        """Close the oldest connection of the peer with the most connections.

        A normal request takes milliseconds. Connections that only wait must not lock it out.
        """
        peers = {task: _peer(transport) for task, transport in self.open.items()}
        counted = Counter(peers.values())
        greedy = max(counted.values())
        task = next(task for task, peer in peers.items() if counted[peer] == greedy)
        self.open.pop(task).abort()
        task.cancel()

    def check(self, method: str, path: str) -> None:
        """Raise _Refused with 404 for an unknown path, or 405 for a method that the path does not take."""
        if path not in self.get and path not in self.post:
            if self.page is None:
                raise _Refused(404, "there is nothing here")
            if method not in ("GET", "HEAD"):
                raise _Refused(405, "this method is not allowed here")
        elif not ((method in ("GET", "HEAD") and path in self.get) or (method == "POST" and path in self.post)):
            raise _Refused(405, "this method is not allowed here")

    async def answer(self, method: str, request: Request, body: bytes) -> Response:
        """Return the answer of the path, or 500 if it raises."""
        path = request.path
        try:
            if method == "POST":
                return Response(*self.post[path](request.headers, body))
            if path in self.get or self.page is None:
                return Response(*self.get[path]())
            async with asyncio.timeout(_PAGE_SECONDS):
                return await self.page(request)
        except Exception as error:  # our own bug goes to our log, not to the client
            context = {"message": f"{method} {path} could not be answered", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return Response(500, TEXT, b"the request could not be answered\n")


def _peer(transport: asyncio.WriteTransport) -> str:
    return str((transport.get_extra_info("peername") or ("",))[0])


async def serve(
    listen: str,
    get: Mapping[str, Get],
    post: Mapping[str, Post] | None = None,
    read_seconds: float = _READ_SECONDS,
    page: Page | None = None,
) -> asyncio.Server:
    """Serve these paths on `address:port` until the server is closed, and all others by `page`. Port 0: a free port.

    Raises UsageError if this machine cannot listen there.
    """
    host, port = read_listen(listen)
    paths = _Paths(get, post or {}, read_seconds, page)

    def handle_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(paths.open) >= _MOST_CONNECTIONS:
            paths.make_room()
        task = asyncio.ensure_future(_serve_one(reader, writer, paths))
        paths.open[task] = writer.transport
        task.add_done_callback(lambda task: paths.open.pop(task, None))

    try:
        return await asyncio.start_server(handle_connection, host, port, limit=_LARGEST_HEAD)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {listen}: {error.strerror or error}", "use another address or port"
        ) from error


def read_listen(listen: str) -> tuple[str, int]:
    """Return (address, port) of `127.0.0.1:9100` or `[::1]:9100`. Raises UsageError.

    The address is required, so that a server does not become public by accident.
    """
    parts = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})", listen)
    if not parts or int(parts[3]) > 65535:
        raise UsageError(f"{listen!r} is not an address to listen on", "write it like 127.0.0.1:9100")
    return parts[1] or parts[2], int(parts[3])


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, paths: _Paths) -> None:
    try:
        await _converse(reader, writer, paths)
    except (OSError, TimeoutError, h11.ProtocolError):
        pass  # the client went away, or does not speak HTTP
    finally:
        writer.transport.abort()  # the whole answer has been sent by now


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, paths: _Paths) -> None:
    state = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
    writer.transport.set_write_buffer_limits(0)  # so that drain() waits until all data is sent
    try:
        async with asyncio.timeout(paths.read_seconds):
            method, request, body = await _read_request(state, reader, writer, paths)
    except _Refused as refused:
        response = Response(refused.status, TEXT, f"{refused}\n".encode())
    except TimeoutError:
        response = Response(408, TEXT, b"the request took too long\n")
    except h11.RemoteProtocolError as error:
        response = Response(error.error_status_hint, TEXT, b"the request is not valid HTTP\n")
    else:
        response = await paths.answer(method, request, body)
        if method == "HEAD" and not isinstance(response.body, bytes):
            response = replace(response, body=b"")
    await _send(state, writer, response)
    await _linger(reader)


async def _read_request(
    state: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, paths: _Paths
) -> tuple[str, Request, bytes]:
    """Read one request: its method, what it asks for, and its body. Raises _Refused."""
    method, request, body = "", Request("", "", {}), bytearray()
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            if state.they_are_waiting_for_100_continue:
                writer.write(state.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            state.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            path, _, query = event.target.decode("ascii").partition("?")
            method, request = event.method.decode("ascii"), Request(path, query, _headers(event))
            paths.check(method, path)
            if any(int(size) > LARGEST_BODY for size in request.headers.get("content-length", ())):
                raise _Refused(413, "the body is larger than 1 MiB")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST_BODY:
                raise _Refused(413, "the body is larger than 1 MiB")
        elif isinstance(event, h11.EndOfMessage):
            return method, request, bytes(body)
        else:
            raise ConnectionResetError("closed before the end of the request")


def _headers(request: h11.Request) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in request.headers:
        key = name.decode("ascii")
        headers[key] = (*headers.get(key, ()), value.decode("latin-1"))
    return headers


async def _send(state: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> None:
    """Send the answer. A client that does not read for _WRITE_SECONDS is given up. Raises TimeoutError and OSError."""
    if state.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    body = response.body
    head = {"Content-Type": response.kind, "Connection": "close", "Cache-Control": "no-store"}
    head |= {"X-Content-Type-Options": "nosniff", **dict(response.headers)}
    if isinstance(body, bytes):
        head["Content-Length"] = str(len(body))
    await _write(writer, state.send(h11.Response(status_code=response.status, headers=[*head.items()])))
    if isinstance(body, bytes):
        await _write(writer, state.send(h11.Data(data=body)))
    else:
        async with aclosing(body):
            async for piece in body:
                await _write(writer, state.send(h11.Data(data=piece)))
    await _write(writer, state.send(h11.EndOfMessage()))
    writer.write_eof()


async def _write(writer: asyncio.StreamWriter, data: bytes | None) -> None:
    async with asyncio.timeout(_WRITE_SECONDS):
        writer.write(data or b"")
        await writer.drain()


async def _linger(reader: asyncio.StreamReader) -> None:
    """Read on for a moment, so that the client gets the answer: closing with unread bytes resets the connection."""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await reader.read(65536):
                pass
