"""The interface to a host: `open`, `run`, `interact` and `connect`, and the values they return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from reconciler.host import shared_text
from reconciler.host.entry import (
    entry_words,
    loading_words,
    shell_line,
    without_stdin,
)
from reconciler.words import printable

LOOPBACK = "127.0.0.1"

Stdin = bytes | AsyncIterator[bytes]
OnOutput = Callable[[bytes], None]

LOOPBACK = "127.0.0.1"
ENDS_WITHIN_SECONDS = 5.0  # how long to wait for a command that was told to stop


class Script(Protocol):
    """A constant script, and the verb that runs it through the host's own program."""

    @property
    def verb(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def first(self) -> str:
        """The text up to `shared`."""
        ...

    @property
    def shared(self) -> tuple[str, ...]:
        """Texts that other scripts have, too."""
        ...

    @property
    def last(self) -> str:
        """The text after `shared`."""
        ...

    @property
    def scripts(self) -> str:
        """The digest of the whole set of scripts that this one belongs to."""
        ...


@dataclass(frozen=True)
class Command:
    """A constant script and its arguments. An argument is never read as shell text.

    A script without a verb is plain text: only a login with full root rights can run it.
    """

    script: Script | str
    arguments: tuple[str, ...] = ()

    def words(self, sudo: bool) -> list[str]:
        """The command as a list of words, to be run as root through sudo if `sudo`."""
        if isinstance(self.script, str):
            return entry_words(self.script, self.arguments, sudo=sudo, verb=None)
        verb = (self.script.verb, self.script.scripts)
        return entry_words(self.script.text, self.arguments, sudo=sudo, verb=verb)

    @property
    def shared(self) -> frozenset[str]:
        """The texts that a host may have already."""
        return frozenset() if isinstance(self.script, str) else frozenset(self.script.shared)

    def line(self, sudo: bool) -> str:
        """The command as one line for a login shell, with all of its text."""
        return shell_line(self.words(sudo))

    def loading_line(self, sudo: bool, sent: frozenset[str], *, fed: bool = True) -> str:
        """The same command without its shared texts. Those that are `sent` come first on stdin, see `packed`.

        One that is not `fed` anything begins a round trip earlier.
        """
        words = self._loading_words(sudo, sent)
        return shell_line(words if fed else without_stdin(words))

    def _loading_words(self, sudo: bool, sent: frozenset[str]) -> list[str]:
        if isinstance(self.script, str) or not self.script.shared:
            return self.words(sudo)
        names, verb = shared_text.names(self.script.shared, sent), (self.script.verb, self.script.scripts)
        return loading_words(self.script.first, names, self.script.last, self.arguments, sudo=sudo, verb=verb)

    def packed(self, sent: frozenset[str]) -> bytes:
        """These shared texts as they come first on stdin."""
        if isinstance(self.script, str):
            return b""
        return b"".join(shared_text.pack(text) for text in self.script.shared if text in sent)


@dataclass(frozen=True)
class Completed:
    """The exit status of a command and its own output, without what was printed before it began."""

    status: int
    output: bytes
    errors: bytes = b""
    queued_seconds: float = 0.0  # the wait before it started: the number of commands at a time is limited

    @property
    def stdout(self) -> str:
        """Its stdout as text. Bytes that are not UTF-8 are replaced."""
        return self.output.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Its stderr as text. Bytes that are not UTF-8 are replaced."""
        return self.errors.decode(errors="replace")

    @property
    def last_words(self) -> str:
        """The end of its stderr, made printable for use in a message."""
        return printable(self.stderr.strip()[-300:]) or "no message"


def too_long_words(timeout_seconds: float) -> tuple[str, str]:
    """Return the error message and the next step for a command that did not end in time."""
    return f"a command did not end within {timeout_seconds:g} s", "it was told to stop; run a pass again"


class Reader(Protocol):
    """The reading end of a connection to a port of the host."""

    async def read(self, n: int = -1) -> bytes: ...


class Writer(Protocol):
    """The writing end of a connection to a port of the host."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...


class RoundTrips:
    """Counts how often the caller had to wait for a host. Questions asked at the same time count once."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting = 0

    def __enter__(self) -> None:
        self.count += not self._waiting
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1


class Transport(Protocol):
    """One host. `round_trips` counts the round trips since the connection was opened."""

    name: str
    round_trips: RoundTrips

    def open_ahead(self) -> None:
        """Begin to connect, without waiting. `open`, or the first use, then waits for it, and raises its error."""
        ...

    async def open(self) -> None:
        """Connect and log in, unless connected. Raises HostUnreachable, HostRefused, HostKeyRefused."""
        ...

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, on_output: OnOutput | None = None
    ) -> Completed:
        """Run the command and return its status and output. It runs as root, or as the login if root is not needed.

        With `on_output`, stdout is passed there as it arrives and is not in the result, which has the end of stderr.
        `timeout_seconds` begins when it is the command's turn to run. When that time is over, or the caller is
        cancelled, the command is stopped on the host too.
        Raises HostUnreachable if the connection breaks or the command does not end in time, HostRefused if root rights
        are refused, a start-up file of the login is in the way, or the output is too long."""
        ...

    async def interact(self, command: Command) -> int:
        """Run the command as root in the user's terminal and return its exit code. Restores the terminal afterwards.

        Raises UsageError if there is no terminal, HostUnreachable if the connection breaks."""
        ...

    async def connect(self, port: int, address: str = LOOPBACK) -> tuple[Reader, Writer]:
        """Connect from the host to address:port. Raises ConnectionRefusedError, HostUnreachable, HostRefused."""
        ...

    async def close(self) -> None:
        """Close the connection. The next use opens a new one."""
        ...
