"""Starting programs so that none of them outlives the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path


async def spawn(
    words: Sequence[str], environment: Mapping[str, str], folder: str | Path = "/", *, output: int = PIPE
) -> Process:
    """A program in a group of its own, what it says on one pipe. The kernel ends it should the demo be killed."""
    setpriv = shutil.which("setpriv")  # of util-linux; execs, so the pid stays
    bound = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return await asyncio.create_subprocess_exec(
        *bound, *words, cwd=folder, env=dict(environment), stdin=DEVNULL, stdout=output, stderr=STDOUT,
        start_new_session=True,
    )  # fmt: skip


def signal_group(process: Process, number: int) -> None:
    """To the program and all that it has started; nothing happens when they are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end(process: Process, within_seconds: float) -> bool:
    """SIGTERM to the program, and SIGKILL to its group if it takes too long. True when it ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    try:
        return await finish_within(within_seconds, process.wait())
    finally:
        signal_group(process, signal.SIGKILL)
        await process.wait()


async def finish_within(seconds: float, work: Awaitable[object]) -> bool:
    """Wait for it at most so long; whether it was done."""
    try:
        async with asyncio.timeout(seconds):
            await work
            return True
    except TimeoutError:
        return False


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel them, and wait until they have tidied up."""
    running = list(tasks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
