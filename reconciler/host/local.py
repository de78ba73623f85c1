"""This machine as a host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

from reconciler.errors import HostRefused, HostUnreachable
from reconciler.host.child import child_process
from reconciler.host.streams import TOO_MUCH, TooMuch, converse
from reconciler.host.terminal import lend_terminal
from reconciler.host.transport import (
    ENDS_WITHIN_SECONDS,
    LOOPBACK,
    Command,
    Completed,
    OnOutput,
    Reader,
    RoundTrips,
    Stdin,
    Writer,
    too_long_words,
)
from reconciler.programs import why_not_started


class LocalHost:
    """Runs scripts on this machine, through sudo if this process is not root."""

    def __init__(self, name: str, *, needs_root: bool = True) -> None:
        self.name = name
        self.round_trips = RoundTrips()
        self._sudo = needs_root and os.geteuid() != 0

    def open_ahead(self) -> None:
        return

    async def open(self) -> None:
        return

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, on_output: OnOutput | None = None
    ) -> Completed:
        try:
            async with self._start(command) as process, asyncio.timeout(timeout_seconds):
                with self.round_trips:
                    assert process.stdin and process.stdout and process.stderr
                    stdout, stderr, before = await converse(
                        process.stdin, stdin, process.stdout, process.stderr, on_output
                    )
                    status = await process.wait()
        except TimeoutError:
            raise HostUnreachable(self.name, *too_long_words(timeout_seconds)) from None
        except TooMuch:
            raise HostRefused(self.name, *TOO_MUCH) from None
        if refused := before.why_not_begun(status):
            raise HostRefused(self.name, *refused)
        return Completed(status, stdout, stderr)

    @contextlib.asynccontextmanager
    async def _start(self, command: Command) -> AsyncIterator[Process]:
        """Start the command. If the block raises, stop the command and all its children."""
        words = command.words(self._sudo)
        child = child_process(*words, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
        async with contextlib.AsyncExitStack() as stack:
            try:
                process = await stack.enter_async_context(child)
            except OSError as error:
                why = f"{words[0]} cannot be run: {why_not_started(words[0], error)}"
                raise HostRefused(self.name, why, "see that this user may run it") from error
            try:
                yield process
            except BaseException:
                await _end(process)
                raise

    async def interact(self, command: Command) -> int:
        with lend_terminal(raw=False):  # the program inherits the terminal and sets its mode itself
            async with child_process(*command.words(self._sudo)) as process:
                try:
                    return await process.wait()
                finally:
                    if process.returncode is None:  # we are being stopped: stop the program too
                        with contextlib.suppress(ProcessLookupError, PermissionError):
                            process.terminate()
                        await _wait_briefly(process)

    async def connect(self, port: int, address: str = LOOPBACK) -> tuple[Reader, Writer]:
        with self.round_trips:
            return await asyncio.open_connection(address, port)

    async def close(self) -> None:
        return


async def _end(process: Process) -> None:
    """Stop a command and all its children. A process that sudo made root cannot be signalled: it sees stdin close."""
    if process.stdin:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if await _wait_briefly(process):
            return


async def _wait_briefly(process: Process) -> bool:
    """True if the process has ended within a few seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDS_WITHIN_SECONDS):
            await process.wait()
    return process.returncode is not None
