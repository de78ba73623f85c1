"""Starts programs so that none of them outlives the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path


async def spawn(
    words: Sequence[str],
    environment: Mapping[str, str],
    folder: str | Path = "/",
    *,
    output: int = PIPE,
    stdin: str = "",
) -> Process:
    """Start a program in its own process group, with stdout and stderr on one pipe or on `output`.

    If the demo is killed, the kernel kills the program too, provided that setpriv is installed.
    """
    setpriv = shutil.which("setpriv")  # from util-linux; it execs, so the pid stays the same
    bound = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        return await asyncio.create_subprocess_exec(
            *bound, *words, cwd=folder, env=dict(environment), stdin=given, stdout=output, stderr=STDOUT,
            start_new_session=True,
        )  # fmt: skip


def signal_group(process: Process, number: int) -> None:
    """Send a signal to the program and all its children. Does nothing if they have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end(process: Process, within_seconds: float) -> bool:
    """Send SIGTERM to the program, then SIGKILL to its group. Returns True if the program ended in time."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    try:
        return await finish_within(within_seconds, process.wait())
    finally:
        signal_group(process, signal.SIGKILL)
        await process.wait()


async def finish_within(seconds: float, work: Awaitable[object]) -> bool:
    """Wait for the work for at most so many seconds. Returns True if it was done, and cancels it otherwise."""
    try:
        async with asyncio.timeout(seconds):
            await work
            return True
    except TimeoutError:
        return False


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait until they have cleaned up."""
    running = list(tasks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
