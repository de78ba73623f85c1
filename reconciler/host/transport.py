"""The seam: two verbs, `run` and `connect`, and what comes back."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

Stdin = bytes | AsyncIterator[bytes]
Tell = Callable[[bytes], None]


@dataclass(frozen=True)
class Command:
    """A constant script and its arguments. Nothing of an argument is ever read as shell text."""

    script: str
    arguments: tuple[str, ...] = ()

    def words(self, sudo: bool) -> list[str]:
        words = ["sh", "-c", self.script, "reconcile", *self.arguments]
        return ["sudo", "-n", *words] if sudo else words

    def line(self, sudo: bool) -> str:
        """One line for a remote shell: the only place where words are quoted."""
        return shlex.join(self.words(sudo))


@dataclass(frozen=True)
class Completed:
    """How a command ended. Text is decoded as UTF-8, what is not is replaced."""

    status: int
    stdout: str
    stderr: str


class Reader(Protocol):
    """The reading end of a connection to a port of the host."""

    async def read(self, n: int = -1) -> bytes: ...


class Writer(Protocol):
    """The writing end."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class RoundTrips:
    """Counts how often somebody had to wait for a host; what is asked at the same time is waited for once."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting = 0

    def __enter__(self) -> None:
        self.count += not self._waiting
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1


async def read_all(reader: Reader, tell: Tell | None) -> bytes:
    """Everything until the end; empty when `tell` took it as it came."""
    if tell is None:
        return await reader.read()
    while block := await reader.read(65536):
        tell(block)
    return b""


class Transport(Protocol):
    """One host. `round_trips` counts what was waited for since the connection is up."""

    name: str
    round_trips: RoundTrips

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, tell: Tell | None = None
    ) -> Completed:
        """Run it as root, or as who logs in where nothing needs root. With `tell`, stdout goes there as it comes, and
        not into the result.

        Raises HostUnreachable when the connection breaks or nothing comes in time (the command may
        still be running there), HostRefused when root's rights cannot be had."""
        ...

    async def connect(self, port: int) -> tuple[Reader, Writer]:
        """A connection to 127.0.0.1:port of the host. Raises ConnectionRefusedError, HostUnreachable, HostRefused."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...
