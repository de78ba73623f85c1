"""A command and its streams: feeds its stdin, and finds its own output among what a login prints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from reconciler.host.entry import BEGUN, ENTERED, FIRST_LINE, LONGEST_BEFORE_BYTES, Before
from reconciler.host.transport import OnOutput, Reader, Stdin

LARGEST_ANSWER_BYTES = 16 * 1024 * 1024  # a look at a hundred apps is 200 kB
LONGEST_END_BYTES = 256 * 1024  # kept of the stderr of a command whose stdout is streamed


class Input(Protocol):
    """The stdin of a command that runs."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def write_eof(self) -> None: ...


async def feed(command: Input, stdin: Stdin) -> None:
    """Write the line that enters, then all of it, then the end of input."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # Either means that the command ended early; its own message says why.
        command.write(FIRST_LINE)
        if isinstance(stdin, bytes):
            command.write(stdin)
        else:
            async for block in stdin:
                command.write(block)
                await command.drain()
        command.write_eof()


def with_first(first: bytes, stdin: Stdin) -> Stdin:
    """Return stdin with these bytes before it."""
    if isinstance(stdin, bytes):
        return first + stdin
    return _first_then(first, stdin) if first else stdin


async def _first_then(first: bytes, stdin: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in stdin:
        yield block


TOO_MUCH = (
    f"a command wrote more than {LARGEST_ANSWER_BYTES // 2**20} MiB, and the rest was not read",
    "find out on the host why the output is that long",
)


class TooMuch(Exception):
    """A command wrote more than LARGEST_ANSWER_BYTES."""


class _Marked:
    """A stream of a command, from the mark where its own output begins. Raises TooMuch if that is too far away."""

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self.entered = self.begun = False
        self.before = b""  # the end of what came before the last mark
        self._skipped = 0

    async def read(self, n: int = -1) -> bytes:
        while not self.begun:
            if not (block := await self._stream.read(n)):
                return b""
            self._skipped += len(block)
            if self._skipped > LARGEST_ANSWER_BYTES:
                raise TooMuch
            self.before += block
            for mark in (ENTERED, BEGUN):
                start, found, rest = self.before.partition(mark)
                if found:
                    self.entered, self.begun = True, mark == BEGUN
                    self.before = start if self.begun else rest
            if self.begun and rest:
                return rest
            self.before = self.before[-LONGEST_BEFORE_BYTES:]
        return await self._stream.read(n)


async def read_all(reader: Reader, on_output: OnOutput | None) -> bytes:
    """Read to the end and return it, or pass each block to `on_output` and return nothing.

    Raises TooMuch, so that a host cannot fill our memory.
    """
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
    """Read to the end and return the last LONGEST_END_BYTES.

    The stderr of a streamed command may grow for days; its length must not end the command.
    """
    end = bytearray()
    while block := await reader.read(65536):
        end += block
        del end[:-LONGEST_END_BYTES]
    return bytes(end)


async def converse(
    command: Input, stdin: Stdin, stdout: Reader, stderr: Reader, on_output: OnOutput | None
) -> tuple[bytes, bytes, Before]:
    """Feed a command while reading its output, and return its stdout and stderr, and what came before them.

    With `on_output`, stdout is passed there instead, and only the end of stderr is returned. Feeding stops once both
    have ended. Raises TooMuch.
    """
    out, error = _Marked(stdout), _Marked(stderr)
    errors = read_end(error) if on_output else read_all(error, None)
    feeding, reading = asyncio.ensure_future(feed(command, stdin)), asyncio.gather(read_all(out, on_output), errors)
    try:
        either: list[asyncio.Future[Any]] = [feeding, reading]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()  # raises if it could not read the data that it should send
        written, complained = await reading
        entered, begun = out.entered or error.entered, out.begun or error.begun
        return written, complained, Before(entered, begun, error.before)
    finally:
        feeding.cancel()
        reading.cancel()
        await asyncio.gather(feeding, reading, return_exceptions=True)  # else what they raise is printed at the exit
