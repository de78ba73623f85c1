"""A program of this machine, and its pipes: both are gone when the block ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator

_BUFFER_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def child_process(
    *words: str,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: dict[str, str] | None = None,
    start_new_session: bool = False,
) -> AsyncIterator[Process]:
    """Start a program; kill it at the end if it still runs. Raises OSError if it cannot be started.

    asyncio itself closes a pipe only when it has been read to its end. That never happens to a program that was ended
    because it wrote too much, nor while something that it started still holds the other end.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=_BUFFER_BYTES, loop=loop), *words, stdin=stdin, stdout=stdout,
        stderr=stderr, cwd=cwd, env=env, start_new_session=start_new_session,
    )  # fmt: skip
    try:
        yield Process(transport, protocol, loop)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or is root's
            transport.close()
