"""The seam: four verbs, `open`, `run`, `interact` and `connect`, and what comes back."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.words import printable

Stdin = bytes | AsyncIterator[bytes]
OnOutput = Callable[[bytes], None]
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024  # a look at a hundred apps is 200 kB
LONGEST_END_BYTES = 256 * 1024  # of what a told stream wrote on stderr


PROGRAM = "/usr/local/sbin/reconcile-host"
OF_OTHER_SCRIPTS = 78  # verbs/head.sh: it was made from other scripts than ours
ARGUMENT_REFUSED = 77
ENDS_WITHIN_SECONDS = 5.0  # a command that was told to end

# A login that is not root's runs the host's own program where there is one, by the verb of the script: that may be all
# that sudo allows it. Found out where the script would run, it costs no round trip and is remembered nowhere.
BY_VERB = f"""\
verb=$1 scripts=$2 script=$3
shift 3
[ ! -x {PROGRAM} ] || exec sudo -n {PROGRAM} "$scripts" "$verb" "$@"
exec sudo -n sh -c "$script" reconcile "$@"
"""


class Script(Protocol):
    """A constant script, and the verb by which a host knows it."""

    @property
    def verb(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def scripts(self) -> str:
        """The digest of all scripts of which this is one."""
        ...


@dataclass(frozen=True)
class Command:
    """A constant script and its arguments. Nothing of an argument is ever read as shell text.

    A script without a verb is plain text: only who may do everything can run it.
    """

    script: Script | str
    arguments: tuple[str, ...] = ()

    def words(self, sudo: bool) -> list[str]:
        script = self.script
        text = script if isinstance(script, str) else script.text
        words = ["sh", "-c", text, "reconcile", *self.arguments]
        if not sudo:
            return words
        if isinstance(script, str):
            return ["sudo", "-n", *words]
        return ["sh", "-c", BY_VERB, "reconcile", script.verb, script.scripts, text, *self.arguments]

    def line(self, sudo: bool) -> str:
        """One line for a remote shell: the only place where words are quoted."""
        return shlex.join(self.words(sudo))


@dataclass(frozen=True)
class Completed:
    """How a command ended, and what it wrote."""

    status: int
    output: bytes
    errors: bytes = b""
    queued_seconds: float = 0.0  # before it was begun: only so many run at a time

    @property
    def stdout(self) -> str:
        """What it wrote as text; what is not UTF-8 is replaced."""
        return self.output.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it wrote to stderr, too."""
        return self.errors.decode(errors="replace")

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, fit for a message of ours."""
        return printable(self.stderr.strip()[-300:]) or "no message"


def too_long_words(timeout_seconds: float) -> tuple[str, str]:
    """What is said of a command that did not end in time, and what to do."""
    return f"a command did not end within {timeout_seconds:g} s", "it was told to end; look again"


def why_refused(completed: Completed) -> tuple[str, str] | None:
    """What happened and what to do when root's rights were not given; None when the command itself ran."""
    said = completed.stderr.strip()
    no_sudo = completed.status == 127 and said.endswith(("sudo: not found", "sudo: command not found"))
    if no_sudo or (completed.status == 1 and said.startswith("sudo: ")):
        return (
            f"the user may not become root: {printable(said)}",
            "run reconcile bootstrap with a login that may, or allow this one sudo without a password (NOPASSWD)",
        )
    if completed.status in (ARGUMENT_REFUSED, OF_OTHER_SCRIPTS) and said.startswith("reconcile-host: "):
        said = printable(said.splitlines()[-1].removeprefix("reconcile-host: "))
        if completed.status == OF_OTHER_SCRIPTS:
            return (
                f"its {PROGRAM} is of another version of reconcile ({said})",
                "renew it with this version: reconcile bootstrap, with a login that may become root",
            )
        return (
            f"its {PROGRAM} refuses this: {said}",
            "what the deploy user may do is told in docs/security.md; a login as root may do it",
        )
    return None


class Reader(Protocol):
    """The reading end of a connection to a port of the host."""

    async def read(self, n: int = -1) -> bytes: ...


class Writer(Protocol):
    """The writing end."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

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


TOO_MUCH = (
    f"a command wrote more than {LARGEST_ANSWER_BYTES // 2**20} MiB, and the rest was not read",
    "look there for what makes it so long",
)


class TooMuch(Exception):
    """A host goes on and on; nobody reads it to the end."""


async def read_all(reader: Reader, on_output: OnOutput | None) -> bytes:
    """Everything until the end; empty when `on_output` took it as it came. Raises TooMuch: no host fills our memory."""
    blocks, size = list[bytes](), 0
    while block := await reader.read(65536):
        if on_output is not None:
            on_output(block)
            continue
        size += len(block)
        if size > LARGEST_ANSWER_BYTES:
            raise TooMuch
        blocks.append(block)
    return b"".join(blocks)


async def read_end(reader: Reader) -> bytes:
    """The last of it: what goes with a stream that is told may go on for days, and ends nothing."""
    end = bytearray()
    while block := await reader.read(65536):
        end += block
        del end[:-LONGEST_END_BYTES]
    return bytes(end)


async def converse(
    stdout: Coroutine[None, None, bytes], stderr: Coroutine[None, None, bytes], feed: Coroutine[None, None, None]
) -> tuple[bytes, bytes]:
    """Both answers. What would still be sent when they have ended is not sent any more."""
    feeding, reading = asyncio.ensure_future(feed), asyncio.gather(stdout, stderr)
    try:
        either: list[asyncio.Future[Any]] = [feeding, reading]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()  # it may not have been able to read what it should send
        out, error = await reading
        return out, error
    finally:
        feeding.cancel()
        reading.cancel()


class Transport(Protocol):
    """One host. `round_trips` counts what was waited for since the connection is up."""

    name: str
    round_trips: RoundTrips

    async def open(self) -> None:
        """Connect and log in, unless that is done. Raises HostUnreachable, HostRefused, HostKeyRefused."""
        ...

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, on_output: OnOutput | None = None
    ) -> Completed:
        """Run it as root, or as who logs in where nothing needs root. With `on_output`, stdout goes there as it comes,
        and not into the result, and of stderr only the end does.

        It may have to wait for its turn; its time begins after that. When the time is over, or the caller is cancelled,
        it is ended on the host as well. Raises HostUnreachable when the connection breaks or it does not end in time,
        HostRefused when root's rights cannot be had or it writes more than anybody reads."""
        ...

    async def interact(self, command: Command) -> int:
        """Run it as root in the person's terminal until it ends; its exit code. The terminal is given back as it was.

        Raises UsageError when there is no terminal, HostUnreachable when the connection breaks."""
        ...

    async def connect(self, port: int) -> tuple[Reader, Writer]:
        """A connection to 127.0.0.1:port of the host. Raises ConnectionRefusedError, HostUnreachable, HostRefused."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...
