"""Forwards a port or a socket of this machine to a port that a host reaches, over the connection there is (ssh -L)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from reconciler.errors import HostError, UsageError
from reconciler.host.transport import LOOPBACK, Reader, Transport, Writer

BLOCK_BYTES = 64 * 1024


async def open_tunnel(host: Transport, port: int, here: int) -> asyncio.Server:
    """Forward 127.0.0.1:`here` (0: a free port) to the host's port until the returned server is closed.

    Raises UsageError if this machine cannot listen there.
    """
    try:
        return await asyncio.start_server(_handler(host, port, LOOPBACK), LOOPBACK, here)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on {LOOPBACK}:{here}: {reason}", "use another --port, or none") from error


async def open_socket_tunnel(
    host: Transport, port: int, address: str, here: str, failed: Callable[[HostError], None]
) -> asyncio.Server:
    """Forward the Unix socket `here` to address:port as the host reaches it, until the returned server is closed.

    Who may connect is decided by the folder of the socket. `failed` is told why the host could not connect.
    """
    return await asyncio.start_unix_server(_handler(host, port, address, failed), here)


def _handler(
    host: Transport, port: int, address: str, failed: Callable[[HostError], None] = lambda _: None
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]:
    open_now: set[asyncio.Task[None]] = set()

    def handle_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_join(host, port, address, reader, writer, failed))
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    return handle_connection


async def _join(
    host: Transport, port: int, address: str,
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, failed: Callable[[HostError], None],
) -> None:  # fmt: skip
    """Copy in both directions until both ends have closed. If the host is unreachable, close the connection at once."""
    try:
        with suppress(OSError):
            try:
                far_reader, far_writer = await host.connect(port, address)
            except HostError as error:
                failed(error)
                return
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
    finally:
        writer.close()


async def _pump(reader: Reader, writer: Writer) -> None:
    try:
        with suppress(OSError):
            while block := await reader.read(BLOCK_BYTES):
                writer.write(block)
                await writer.drain()
    finally:
        writer.close()
