"""A local port that is forwarded to a port of a host."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.errors import HostUnreachable, UsageError
from reconciler.host.local import LocalHost
from reconciler.host.transport import LOOPBACK, Reader, Writer
from reconciler.host.tunnel import open_tunnel


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_bytes_pass_through_the_tunnel_in_both_directions() -> None:
    async def story() -> list[bytes]:
        far = await asyncio.start_server(_echo, "127.0.0.1", 0)
        tunnel = await open_tunnel(LocalHost("a"), port_of(far), 0)
        try:
            return await asyncio.gather(*(asked(port_of(tunnel)) for _ in range(5)))
        finally:
            tunnel.close()
            far.close()

    assert asyncio.run(story()) == [b"hello\n"] * 5


def test_the_tunnel_survives_a_lost_connection_to_the_host() -> None:
    class Gone(LocalHost):
        async def connect(self, port: int, address: str = LOOPBACK) -> tuple[Reader, Writer]:
            raise HostUnreachable(self.name, "gone")

    async def story() -> list[bytes]:
        tunnel = await open_tunnel(Gone("a"), 1, 0)
        try:
            return [await asked(port_of(tunnel)), await asked(port_of(tunnel))]
        finally:
            tunnel.close()

    assert asyncio.run(story()) == [b"", b""]


def test_a_port_that_is_taken_is_said() -> None:
    async def story() -> None:
        taken = await asyncio.start_server(_echo, "127.0.0.1", 0)
        try:
            await open_tunnel(LocalHost("a"), 1, port_of(taken))
        finally:
            taken.close()

    with pytest.raises(UsageError, match="cannot listen on"):
        asyncio.run(story())
