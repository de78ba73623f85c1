"""Forwards a port of this machine to a port of a host over the existing connection, as `ssh -L` does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Reader, Transport, Writer

BLOCK_BYTES = 64 * 1024


async def open_tunnel(host: Transport, port: int, here: int) -> asyncio.Server:
    """Forward 127.0.0.1:`here` (0: a free port) to the host's port until the returned server is closed.

    Raises UsageError if this machine cannot listen there.
    """
    open_now: set[asyncio.Task[None]] = set()

    def handle_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_join(host, port, reader, writer))
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    try:
        return await asyncio.start_server(handle_connection, "127.0.0.1", here)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on 127.0.0.1:{here}: {reason}", "use another --port, or none") from error


async def _join(host: Transport, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy in both directions until both ends have closed. If the host is unreachable, close the connection at once."""
    try:
        with suppress(HostError, OSError):
            far_reader, far_writer = await host.connect(port)
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
