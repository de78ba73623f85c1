"""Visitors: requests at a steady rate, whether or not they are answered. None is retried; every answer is checked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from reconciler.clock import now_seconds, sleep_seconds

LONGEST_SECONDS = 90.0
ANSWER_WITHIN_SECONDS = 10.0
POSTED = b"every byte of this comes back"
KINDS = tuple(itertools.product(("GET", "POST"), ("kept", "new")))  # (method, connection), in turn


class BadAnswer(Exception):
    """The answer is not the expected one."""


@dataclass(frozen=True)
class Answered:
    """One request that succeeded. Times are in seconds since the first request."""

    sent: float
    done: float
    body: str  # of a GET, "" for a POST


@dataclass
class Visitors:
    """Requests for one domain at one port. `run()` sends them until `stop()`; the counts are then complete."""

    domain: str
    port: int
    per_second: float = 100
    answered: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended_early: bool = False
    _stopping: bool = False
    _begin: float = 0
    _idle: list[Connection] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return self.kinds.total()

    @property
    def now(self) -> float:
        """Seconds since the first request."""
        return now_seconds() - self._begin

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        """Send requests until `stop()` or for LONGEST_SECONDS. Returns once every request has ended."""
        self._begin = now_seconds()
        async with asyncio.TaskGroup() as requests:
            while not self._stopping and not self.ended_early:
                early = self.sent / self.per_second - self.now
                if early > 0:
                    await sleep_seconds(min(early, 0.05))
                    continue
                method, connection = KINDS[self.sent % len(KINDS)]
                self.kinds[method, connection] += 1
                requests.create_task(self._request(method, connection))
                self.ended_early = self.now > LONGEST_SECONDS
        for link in self._idle:
            link.close()

    async def visit(self) -> str:
        """Send one GET that is not counted, and return its body. Raises BadAnswer, EOFError or OSError."""
        return (await self._exchange("GET", "new")).strip()

    async def _request(self, method: str, connection: str) -> None:
        sent = self.now
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                body = await self._exchange(method, connection)
        except TimeoutError:
            self._note_failure(sent, method, connection, f"no answer within {ANSWER_WITHIN_SECONDS:g} s")
        except Exception as error:  # any failure is one that a visitor would have seen
            self._note_failure(sent, method, connection, f"{type(error).__name__}: {error}")
        else:
            self.answered.append(Answered(sent, self.now, body.strip() if method == "GET" else ""))

    def _note_failure(self, sent: float, method: str, connection: str, why: str) -> None:
        self.failures.append(f"{sent:.2f} s  {method} on a {connection} connection: {why}")

    async def _exchange(self, method: str, connection: str) -> str:
        kept = connection == "kept"
        link = self._idle.pop() if kept and self._idle else await Connection.open(self.port)
        complete = False
        try:
            body = await link.ask(method, self.domain, kept)
            complete = True
        finally:
            if complete and kept:
                self._idle.append(link)
            else:
                link.close()
        return body


@contextlib.asynccontextmanager
async def visit_meanwhile(visitors: Visitors) -> AsyncIterator[None]:
    """Send visitors during the block, and wait for their open requests at its end."""
    task = asyncio.create_task(visitors.run())
    try:
        yield
    finally:
        visitors.stop()
        await task


@dataclass(frozen=True)
class Connection:
    """One connection to Traefik."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @staticmethod
    async def open(port: int) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", port))

    def close(self) -> None:
        self.writer.close()

    async def ask(self, method: str, domain: str, keep: bool) -> str:
        """Send a request and return the body of its answer.

        Raises BadAnswer for any status but 200, and for a POST whose body does not come back; EOFError and OSError.
        """
        posted = POSTED if method == "POST" else b""
        path = "/echo" if posted else "/"
        head = f"{method} {path} HTTP/1.1\r\nHost: {domain}\r\nContent-Length: {len(posted)}\r\n"
        self.writer.write(f"{head}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + posted)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        length = next((line.partition(":")[2] for line in lines if line.startswith("content-length:")), "0")
        body = await self.reader.readexactly(int(length))
        if first.split(" ")[1:2] != ["200"] or (posted and body != posted):
            raise BadAnswer(first if first.split(" ")[1:2] != ["200"] else "the body that came back differs")
        return body.decode(errors="replace")
