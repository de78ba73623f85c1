"""A load generator that shows what visitors would see: open loop, no retries, every answer recorded.

A request is sent when it is due, whether or not earlier ones were answered. Everything but a complete 2xx
answer is a failure. By hand: `python -m tests.hosts.load 10.203.1.2 --host app.test --seconds 30`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

BODY_KEPT_BYTES = 100
MAX_IN_FLIGHT = 5000


@dataclass(frozen=True)
class Stream:
    """Requests of one kind at a steady rate; without `keep_alive` each brings its own connection."""

    name: str
    per_second: float
    path: str = "/"
    method: str = "GET"
    keep_alive: bool = True
    body: bytes = b""


@dataclass(frozen=True)
class Target:
    """Where requests go, and the name they ask for."""

    address: str
    host: str
    port: int = 80


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent (seconds after the start), how long it took, and what came of it."""

    at: float
    seconds: float
    stream: str
    status: int
    error: str
    body: bytes

    @property
    def failed(self) -> bool:
        return bool(self.error) or not 200 <= self.status < 300

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.stream}: {self.error or self.status} after {self.seconds:.3f} s"


def usual_streams(
    per_second: float = 100, path: str = "/", slow_path: str = "", slow_per_second: float = 1
) -> tuple[Stream, ...]:
    """GET and POST, on kept and on new connections, together `per_second`; slow ones beside, if asked."""
    kinds = [(method, keep_alive) for method in ("GET", "POST") for keep_alive in (True, False)]
    streams = [
        Stream(
            f"{method} {'kept' if keep_alive else 'new'}",
            per_second / 4,
            path,
            method,
            keep_alive,
            b"x" * 64 * (method == "POST"),
        )
        for method, keep_alive in kinds
    ]
    return (*streams, Stream("slow", slow_per_second, slow_path)) if slow_path else tuple(streams)


@dataclass
class Load:
    """Use `running()`, or await `run()`; then `samples` holds every request, bounded in count and time."""

    target: Target
    streams: Sequence[Stream]
    max_seconds: float = 120
    max_requests: int = 200_000
    answer_within_seconds: float = 30
    samples: list[Sample] = field(default_factory=list)
    ended_early: str = ""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    _begin: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        """Load the target from a thread during the block, then wait for the requests still open."""
        thread = threading.Thread(target=lambda: asyncio.run(self.run()), name="load", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            thread.join()

    async def run(self) -> None:
        self._begin = time.monotonic()
        await asyncio.gather(*(self._send(stream) for stream in self.streams))
        self.samples.sort(key=lambda sample: sample.at)

    async def _send(self, stream: Stream) -> None:
        idle: list[_Connection] = []
        sent = 0
        while not self._stopping.is_set() and self._within_bounds():
            wait = sent / stream.per_second - self._now()
            if wait > 0:
                await asyncio.sleep(min(wait, 0.05))
                continue
            sent += 1
            task = asyncio.create_task(self._request(stream, idle))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        while self._in_flight:  # each ends by itself, within answer_within_seconds
            await asyncio.sleep(0.01)
        for connection in idle:
            connection.writer.close()

    def _within_bounds(self) -> bool:
        if self._now() >= self.max_seconds:
            self.ended_early = f"ended by itself after {self.max_seconds:g} s"
        elif len(self.samples) + len(self._in_flight) >= self.max_requests:
            self.ended_early = f"ended by itself after {self.max_requests} requests"
        return not self.ended_early

    async def _request(self, stream: Stream, idle: list[_Connection]) -> None:
        begin, status, body, error = self._now(), 0, b"", ""
        try:
            if len(self._in_flight) > MAX_IN_FLIGHT:
                raise ConnectionError(f"not sent: {MAX_IN_FLIGHT} requests are open")
            async with asyncio.timeout(self.answer_within_seconds):
                status, body = await self._exchange(stream, idle)
        except TimeoutError:
            error = f"no answer within {self.answer_within_seconds:g} s"
        except asyncio.IncompleteReadError:
            error = "closed before the whole answer"
        except Exception as failure:  # whatever it was, a visitor would have seen it
            error = f"{type(failure).__name__}: {failure}"
        self.samples.append(Sample(begin, self._now() - begin, stream.name, status, error, body[:BODY_KEPT_BYTES]))

    async def _exchange(self, stream: Stream, idle: list[_Connection]) -> tuple[int, bytes]:
        connection = next((kept for kept in _popped(idle) if kept.usable), None)
        if connection is None:
            connection = _Connection(*await asyncio.open_connection(self.target.address, self.target.port))
        keep = False
        try:
            status, body, keep = await connection.ask(stream, self.target.host)
        finally:
            if keep and stream.keep_alive:
                idle.append(connection)
            else:
                connection.writer.close()
        return status, body

    def _now(self) -> float:
        return time.monotonic() - self._begin

    @property
    def failures(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.failed]

    def first_answer(self, body_part: bytes) -> float | None:
        """When the first complete answer holding these bytes was there, in seconds after the start."""
        return min((s.at + s.seconds for s in self.samples if not s.failed and body_part in s.body), default=None)

    def summary(self) -> str:
        """Counts and times for each stream, then what failed, in a few lines."""
        early = f" ({self.ended_early})" if self.ended_early else ""
        lines = [f"{len(self.failures)} of {len(self.samples)} requests failed{early}"]
        for stream in self.streams:
            own = [sample for sample in self.samples if sample.stream == stream.name]
            times = sorted(sample.seconds * 1000 for sample in own if not sample.failed) or [0.0]
            p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
            failed = sum(sample.failed for sample in own)
            milliseconds = f"p50 {p50:.1f} p99 {p99:.1f} max {times[-1]:.1f} ms"
            lines.append(f"  {stream.name:10} {failed} of {len(own)} failed, {milliseconds}")
        kinds = collections.Counter(sample.error or str(sample.status) for sample in self.failures)
        lines += [f"  {count} x {kind}" for kind, count in kinds.most_common(10)]
        return "\n".join(lines + [f"  {failure}" for failure in self.failures[:5]])


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def usable(self) -> bool:
        """An idle connection that the server has closed in order is not used again; this is no retry."""
        return not self.reader.at_eof() and not self.writer.is_closing()

    async def ask(self, stream: Stream, host: str) -> tuple[int, bytes, bool]:
        """Send one request; its status, its whole body, and whether the connection may be used again."""
        head = [f"{stream.method} {stream.path} HTTP/1.1", f"Host: {host}", "User-Agent: load"]
        head += [] if stream.keep_alive else ["Connection: close"]
        head += [f"Content-Length: {len(stream.body)}"] if stream.method != "GET" else []
        self.writer.write("\r\n".join([*head, "", ""]).encode() + stream.body)
        await self.writer.drain()
        first, *fields = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
        status = int(first.split(" ", 2)[1])
        body = await self._body(status, headers)
        framed = "content-length" in headers or "transfer-encoding" in headers or status in (204, 304)
        return status, body, framed and headers.get("connection", "").lower() != "close"

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            whole = b""
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                whole += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readuntil(b"\r\n")
            return whole
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        return await self.reader.read(-1)


def _popped(idle: list[_Connection]) -> Iterator[_Connection]:
    while idle:
        yield idle.pop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.load", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--host", required=True, help="the name asked for")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--path", default="/")
    parser.add_argument("--slow-path", default="")
    parser.add_argument("--rate", type=float, default=100, help="requests a second, all kinds together")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    target = Target(arguments.address, arguments.host, arguments.port)
    load = Load(
        target,
        usual_streams(arguments.rate, arguments.path, arguments.slow_path),
        max_seconds=arguments.seconds,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(load.run())
    print(load.summary())
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
