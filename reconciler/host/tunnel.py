"""A port of this machine that leads to a port of a host, over the connection that is there anyway; as `ssh -L` does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Reader, Transport, Writer

BLOCK_BYTES = 64 * 1024


async def open_tunnel(host: Transport, port: int, here: int) -> asyncio.Server:
    """Listen on 127.0.0.1:`here` (0: a free port) until the server is closed; who connects reaches the host's port."""
    open_now: set[asyncio.Task[None]] = set()

    def handle_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_join(host, port, reader, writer))
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    try:
        return await asyncio.start_server(handle_connection, "127.0.0.1", here)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on 127.0.0.1:{here}: {reason}", "choose another --port, or none") from error


async def _join(host: Transport, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways until each end has closed its own. A host that cannot be reached closes the connection at once."""
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
