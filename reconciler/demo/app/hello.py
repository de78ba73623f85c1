"""The demo's app: a small HTTP/1.1 server on the standard library that can be made to misbehave.

It answers /, /ping, /version, /slow?seconds=3, /echo (POST) and /env/NAME. On SIGTERM it stops listening, finishes
the requests that it is answering (within DRAIN_SECONDS), then exits with status 0.
It reads these variables: PORT, BIND, GREETING, DRAIN_SECONDS, SHOW_ENV (the names that /env/ may show),
FAIL_BOOT=1, NEVER_HEALTHY=1, DIE_AFTER_SECONDS; and for `migrate`: MIGRATIONS_FILE, STATE_DIRECTORY, FAIL_MIGRATE.
A file `behaviour` beside this one may have lines NAME=VALUE for variables that the environment does not set.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).resolve().parent
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"}
REASONS |= {413: "Content Too Large", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}
LONGEST_BODY = 16 * 1024 * 1024
LONGEST_SLEEP_SECONDS = 300.0
IDLE_SECONDS = 75.0
READ_SECONDS = 15.0
LAST_REQUEST_SECONDS = 0.2
LINGER_SECONDS = 1.0

Answer = tuple[int, bytes]


class Refused(Exception):
    """The request cannot be answered, and the rest of the connection cannot be trusted."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer: Answer = (status, reason.encode() + b"\n")


def read_behaviour() -> dict[bytes, bytes]:
    path = HERE / "behaviour"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return {name: value for name, _, value in (line.partition(b"=") for line in lines)}


BEHAVIOUR = read_behaviour()


def setting(name: str, default: str = "") -> str:
    key = name.encode()
    return os.environb.get(key, BEHAVIOUR.get(key, default.encode())).decode("utf-8", "replace")


def version() -> str:
    path = HERE / "VERSION"
    return path.read_text().strip() if path.exists() else setting("APP_VERSION", "0.0.0")


async def answer(method: str, target: str, body: bytes) -> Answer:
    """Return the status and body for one request."""
    try:
        url = urlsplit(target)
    except ValueError:
        return 400, b"this is not a path\n"
    if url.path == "/echo":
        return (200, body) if method == "POST" else (405, b"POST something to /echo\n")
    if method not in {"GET", "HEAD"}:
        return 405, b"only GET, HEAD and POST /echo are answered\n"
    match url.path:
        case "/":
            return 200, f"{setting('GREETING', 'Hello')} from hello {version()}\n".encode()
        case "/ping" if setting("NEVER_HEALTHY") == "1":
            return 503, b"NEVER_HEALTHY is 1\n"
        case "/ping":
            return 200, b"pong"
        case "/version":
            return 200, f"{version()}\n".encode()
        case "/slow":
            return await slow(parse_qs(url.query).get("seconds", ["3"])[0])
        case path if path.startswith("/env/"):
            return show(path.removeprefix("/env/"))
    return 404, b"nothing here\n"


async def slow(seconds: str) -> Answer:
    try:
        duration = float(seconds)
    except ValueError:
        duration = -1.0
    if not 0 <= duration <= LONGEST_SLEEP_SECONDS:
        return 400, f"seconds must be a number from 0 to {LONGEST_SLEEP_SECONDS:.0f}\n".encode()
    await asyncio.sleep(duration)
    return 200, f"slept {duration} s\n".encode()


def show(name: str) -> Answer:
    """Return one variable byte for byte. The answer does not tell whether a variable is unset or hidden."""
    shown = setting("SHOW_ENV").replace(",", " ").split()
    value = os.environb.get(name.encode()) if name in shown else None
    return (404, b"nothing here\n") if value is None else (200, value)


class Server:
    """Listens, serves each connection in its own task, and drains before it ends."""

    def __init__(self) -> None:
        self.draining = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.idle: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        bind, port = setting("BIND", "127.0.0.1"), int(setting("PORT", "4000"))
        server = await asyncio.start_server(self.connected, bind, port, backlog=1024, limit=64 * 1024)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"hello {version()} listens on {bind}:{server.sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()
        self.draining = True
        server.close()
        await self.drain(float(setting("DRAIN_SECONDS", "30")))

    async def drain(self, seconds: float) -> None:
        """Wait until every connection has ended, for at most so many seconds."""
        print(f"stopping: {len(self.tasks) - len(self.idle)} requests are being answered", flush=True)
        # Keep idle connections open for a moment, for requests that are already on their way.
        await asyncio.sleep(LAST_REQUEST_SECONDS if self.tasks else 0)
        for writer in list(self.idle):
            writer.close()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await self.one_request(reader, writer):
                pass
            await read_away(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone, or too slow (TimeoutError is an OSError)
        finally:
            self.tasks.discard(task)
            writer.close()

    async def one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns False if the connection ends with it."""
        method = "GET"
        try:
            head = await self.read_head(reader, writer)
            if not head:
                return False
            method, target, keep, headers = parse_head(head)
            body = await read_body(reader, writer, headers)
            reply = await answer(method, target, body)
        except Refused as refused:
            reply, keep = refused.answer, False
        keep = keep and not self.draining
        writer.write(encode(reply, method, keep))
        async with asyncio.timeout(READ_SECONDS):
            await writer.drain()
        return keep

    async def read_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Return everything up to the empty line, or nothing if the connection ends before."""
        self.idle.add(writer)
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise Refused(431, "the headers are too long") from None
        finally:
            self.idle.discard(writer)


async def read_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on until the client is done too: closing with unread bytes would lose the answer."""
    writer.write_eof()
    async with asyncio.timeout(LINGER_SECONDS):
        while await reader.read(65536):
            pass


def parse_head(head: bytes) -> tuple[str, str, bool, dict[str, str]]:
    """Return method, target, whether to keep the connection, and the headers with names in lower case."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").lstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refused(400, "this is not an HTTP request")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not name or name != name.strip():
            raise Refused(400, "this is not a header")
        if name == "content-length" and headers.get(name, value) != value:
            raise Refused(400, "more than one Content-Length")
        headers[name] = value
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if words[2] == "HTTP/1.1" else connection == "keep-alive"
    return words[0], words[1], keep, headers


async def read_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise Refused(411, "send a Content-Length instead of a transfer coding")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "Content-Length is not a number")
    if len(text) > 18 or int(text) > LONGEST_BODY:
        raise Refused(413, f"a body may have at most {LONGEST_BODY} bytes")
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async with asyncio.timeout(READ_SECONDS):
        return await reader.readexactly(int(text))


def encode(reply: Answer, method: str, keep: bool) -> bytes:
    status, body = reply
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\n"
        f"date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}\r\n"
        f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        f"cache-control: no-store\r\nconnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def migrate() -> int:
    """Stand in for a database migration: add one line to the migrations file."""
    directory = setting("STATE_DIRECTORY").split(":")[0]
    file = setting("MIGRATIONS_FILE", f"{directory}/migrations" if directory else "")
    if setting("FAIL_MIGRATE") == "1":
        print(f"migrate {version()} failed: FAIL_MIGRATE is 1", file=sys.stderr)
        return 1
    if not file:
        print(f"migrate {version()}: nothing to do, since neither MIGRATIONS_FILE nor STATE_DIRECTORY is set")
        return 0
    try:
        with Path(file).open("a") as migrations:
            migrations.write(f"{version()} {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n")
    except OSError as error:
        print(f"migrate {version()} failed: cannot write {file}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"migrate {version()}: added a line to {file}")
    return 0


def work() -> int:
    """A process without a port, as a queue worker is: it works until it is told to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before it is waited for
    print(f"worker {version()}: waiting for work", flush=True)
    signal.sigwait({signal.SIGTERM})
    print(f"worker {version()}: the work under way is done", flush=True)
    return 0


def report() -> int:
    """A job, which runs to its end."""
    print(f"report {version()}: {setting('GREETING')} to everybody who came", flush=True)
    return 0


def die(seconds: float) -> None:
    print(f"dying after {seconds} s: DIE_AFTER_SECONDS is set", file=sys.stderr, flush=True)
    os._exit(1)


async def start() -> None:
    if lifetime := setting("DIE_AFTER_SECONDS"):
        asyncio.get_running_loop().call_later(float(lifetime), die, float(lifetime))
    await Server().run()


def main(command: str) -> int:
    if command == "migrate":
        return migrate()
    if command == "work":
        return work()
    if command == "report":
        return report()
    if command != "start":
        print(f"{command} is not a command; use start, work, report or migrate", file=sys.stderr)
        return 2
    if setting("FAIL_BOOT") == "1":
        print("refusing to boot: FAIL_BOOT is 1", file=sys.stderr)
        return 1
    try:
        asyncio.run(start())
    except OSError as error:
        print(f"cannot listen: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or ["start"]))
