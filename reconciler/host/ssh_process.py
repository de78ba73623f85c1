"""Commands and connections to ports on one connection of asyncssh: each is closed there when nobody waits for it here.

What is raised is asyncssh's own, or OSError.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from reconciler.host.transport import ENDS_WITHIN_SECONDS, Completed, OnOutput, Stdin, converse, read_all, read_end

if TYPE_CHECKING:
    import asyncssh

    Connection = asyncssh.SSHClientConnection
    Process = asyncssh.SSHClientProcess[bytes]

OPEN_SECONDS = 20
T = TypeVar("T")


async def open_session(connection: Connection, line: str) -> Process | None:
    """The command, begun; None when sshd has no session left for it, which says nothing of the connection."""
    import asyncssh

    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await _open(connection.create_process(line, encoding=None), _close_session)
    except asyncssh.ChannelOpenError:
        if connection.is_closed():
            raise
        return None


async def open_port(connection: Connection, port: int) -> tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]:
    """A connection to a port of the host, which is no session: sshd does not count it."""
    return await _open(connection.open_connection("127.0.0.1", port), lambda streams: streams[1].channel.abort())


async def carry_out(process: Process, stdin: Stdin, timeout_seconds: float, on_output: OnOutput | None) -> Completed:
    """How the command ended; status -1 when it was ended by others. Ended there in any case: TimeoutError is raised
    when it did not end by itself.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr = await converse(
                read_all(process.stdout, on_output),
                read_end(process.stderr) if on_output else read_all(process.stderr, None),
                _feed(process.stdin, stdin),
            )
            await process.wait_closed()
    except BaseException:
        await _end(process)
        raise
    status = -1 if process.exit_status is None else process.exit_status
    return Completed(status, stdout, stderr)


async def _end(process: Process) -> None:
    """By a signal, and by the end of what it reads and writes: what sudo has made root's gets no signal.

    sshd closes the channel when the command is over.
    """
    import asyncssh

    with contextlib.suppress(asyncssh.Error, OSError):  # it is over already
        process.terminate()
        process.channel.abort()
    await asyncio.wait({asyncio.ensure_future(process.wait_closed())}, timeout=ENDS_WITHIN_SECONDS)


async def _open(opening: Awaitable[T], close: Callable[[T], None]) -> T:
    """What is opened; closed again when it comes too late: sshd would count it for as long as the connection lives."""

    def close_late(late: asyncio.Future[T]) -> None:
        if not late.cancelled() and not late.exception():
            close(late.result())

    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(close_late)
        raise


def _close_session(process: Process) -> None:
    process.channel.abort()


async def _feed(writer: asyncssh.SSHWriter[bytes], stdin: Stdin) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the command ended early and says why itself
        if isinstance(stdin, bytes):
            writer.write(stdin)
        else:
            async for block in stdin:
                writer.write(block)
                await writer.drain()
        writer.write_eof()
