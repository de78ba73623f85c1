"""Commands, and connections to ports, over one asyncssh connection. Each is closed on the host when its caller is gone.

Raises asyncssh's own errors, or OSError.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from reconciler.host.entry import Before
from reconciler.host.streams import converse
from reconciler.host.transport import ENDS_WITHIN_SECONDS, Completed, OnOutput, Stdin

if TYPE_CHECKING:
    import asyncssh

    Connection = asyncssh.SSHClientConnection
    Process = asyncssh.SSHClientProcess[bytes]

OPEN_SECONDS = 20
T = TypeVar("T")


async def open_session(connection: Connection, line: str) -> Process | None:
    """Start a command. Returns None if sshd refuses a further session while the connection is fine."""
    import asyncssh

    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await _open(connection.create_process(line, encoding=None), _close_session)
    except asyncssh.ChannelOpenError:
        if connection.is_closed():
            raise
        return None


async def open_port(
    connection: Connection, port: int, address: str
) -> tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]:
    """Connect from the host to a port. sshd does not count this as a session."""
    return await _open(connection.open_connection(address, port), lambda streams: streams[1].channel.abort())


async def carry_out(
    process: Process, stdin: Stdin, timeout_seconds: float, on_output: OnOutput | None
) -> tuple[Completed, Before]:
    """Feed the command, read its output and wait for it to end. The status is -1 if something else ended it.

    Raises TimeoutError if it does not end in time. Whatever is raised, the command is stopped on the host first.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr, before = await converse(process.stdin, stdin, process.stdout, process.stderr, on_output)
            await process.wait_closed()
    except BaseException:
        await _end(process)
        raise
    status = -1 if process.exit_status is None else process.exit_status
    return Completed(status, stdout, stderr), before


async def _end(process: Process) -> None:
    """Stop a command with a signal, and by closing its pipes, since a process that sudo made root gets no signal.

    sshd closes the channel once the command has ended.
    """
    import asyncssh

    with contextlib.suppress(asyncssh.Error, OSError):  # it has ended already
        process.terminate()
        process.channel.abort()
    await asyncio.wait({asyncio.ensure_future(process.wait_closed())}, timeout=ENDS_WITHIN_SECONDS)


async def _open(opening: Awaitable[T], close: Callable[[T], None]) -> T:
    """Wait for `opening`. If we are cancelled meanwhile, `close` its result once it arrives.

    Otherwise sshd would count that session for as long as the connection lives.
    """

    def close_late(opened: asyncio.Future[T]) -> None:
        if not opened.cancelled() and not opened.exception():
            close(opened.result())

    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(close_late)
        raise


def _close_session(process: Process) -> None:
    process.channel.abort()
