"""One SSH server that is every host of a fleet: each address of 127/8 plays the same record, from its own beginning.

    python -m tests.bench.fleet.server HOST_KEY DISTANCE_MILLISECONDS SILENT_PERCENT RECORD…

Prints its port. At the end of stdin it prints what it did, as JSON, and ends.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.connection import SSHServerConnection

from reconciler.host.entry import BEGUN, ENTERED
from tests.bench.fleet.answers import Asked, Player, Ran, read


class Fleet:
    """The hosts that were asked for so far, by address."""

    def __init__(self, record: tuple[Ran | Asked, ...], distance_seconds: float, silent_percent: int) -> None:
        self.record, self.distance_seconds, self.silent_percent = record, distance_seconds, silent_percent
        self.players: dict[str, Player] = {}
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def player(self, address: str) -> Player:
        if address not in self.players:
            self.players[address] = Player(self.record)
        return self.players[address]

    def is_silent(self, address: str) -> bool:
        """True for so many of a hundred hosts: they take a connection, and never answer on it."""
        return int(ipaddress.ip_address(address)) % 100 < self.silent_percent


class _Login(asyncssh.SSHServer):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._player = self._fleet.player(conn.get_extra_info("sockname")[0])
        self._fleet.connections += 1
        self._fleet.open += 1
        self._fleet.most_open = max(self._fleet.most_open, self._fleet.open)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fleet.open -= 1

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True

    def session_requested(self) -> _Session:
        return _Session(self._fleet, self._player)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> _Port:
        return _Port(self._player, dest_port)


class _Session(asyncssh.SSHServerSession[bytes]):
    def __init__(self, fleet: Fleet, player: Player) -> None:
        self._fleet, self._player = fleet, player

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._line = command
        return True

    def session_started(self) -> None:
        task = asyncio.get_running_loop().create_task(self._answer())
        self._fleet.tasks.add(task)
        task.add_done_callback(self._fleet.tasks.discard)

    def eof_received(self) -> bool:
        return True

    async def _answer(self) -> None:
        ran = self._player.run(self._line)
        if ran is None:
            self._channel.write_stderr(ENTERED + BEGUN + b"no such command was recorded")
            self._channel.exit(1)
            return
        if ran.verb != "look":
            await asyncio.sleep(ran.seconds)
        if not self._channel.is_closing():
            self._channel.write(ENTERED + BEGUN + ran.output_for(self._line))
            self._channel.write_stderr(ENTERED + BEGUN + ran.errors)
            self._channel.exit(ran.status)


class _Port(asyncssh.SSHTCPSession[bytes]):
    def __init__(self, player: Player, port: int) -> None:
        self._player, self._port = player, port

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        answer = self._player.ask(self._port, data.split(b" ", 2)[1].decode())
        if answer is None:
            self._channel.close()
        else:
            self._channel.write(answer)


class _FarAway(SSHServerConnection):
    """A connection on which everything arrives late by the distance, the first bytes by twice that, or never."""

    fleet: Fleet

    def connection_made(self, transport: Any) -> None:
        self._late: deque[bytes] = deque()
        self._first = True
        self._silent = self.fleet.is_silent(transport.get_extra_info("sockname")[0])
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        if self._silent:
            return
        if not self.fleet.distance_seconds:
            super().data_received(data, datatype)
            return
        self._late.append(data)
        asyncio.get_running_loop().call_later(self.fleet.distance_seconds * (1 + self._first), self._arrive)
        self._first = False

    def _arrive(self) -> None:
        super().data_received(self._late.popleft(), None)


async def serve(host_key: Path, fleet: Fleet) -> None:
    """Serve until stdin ends."""
    asyncssh.connection.SSHServerConnection = _FarAway  # type: ignore[misc]
    _FarAway.fleet = fleet
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")  # every address of 127/8, and no other
    listener.bind(("0.0.0.0", 0))
    server = await asyncssh.create_server(
        lambda: _Login(fleet), sock=listener, server_host_keys=[str(host_key)], encoding=None, backlog=4096,
        login_timeout=60, keepalive_interval=0, allow_scp=False, compression_algs=["none"],
    )  # fmt: skip
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    used = {
        "connections": fleet.connections, "most_open": fleet.most_open, "cpu_seconds": time.process_time(),
        "unknown": sum(player.unknown for player in fleet.players.values()),
    }  # fmt: skip
    print(json.dumps(used), flush=True)
    server.close()


if __name__ == "__main__":
    key, distance, silent, *records = sys.argv[1:]
    asyncio.run(serve(Path(key), Fleet(read(map(Path, records)), int(distance) / 1000, int(silent))))
