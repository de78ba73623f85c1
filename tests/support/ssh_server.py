"""An SSH server in this process. As sshd, it limits sessions, and has host keys of several kinds."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from signal import SIGTERM

import asyncssh

from reconciler.host.child import child_process
from reconciler.host.ssh import SshHost


@cache
def _host_key(kind: str) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


@dataclass
class SshServer:
    """Counts connections and sessions, and keeps the commands that were ended by a signal."""

    max_sessions: int = 10
    shell: tuple[str, ...] = ("/bin/sh",)  # the login's
    environment: dict[str, str] = field(default_factory=dict)  # BASH_ENV is to bash here what .bashrc is behind sshd
    host_keys: tuple[str, ...] = ("ssh-ed25519",)
    signed_by: asyncssh.SSHKey | None = None  # the authority that signs the host keys
    login_key: str = ""  # the public key that may log in; without one, everybody may
    connections: int = 0
    connected: int = 0
    most_connected: int = 0
    open: int = 0
    most_open: int = 0
    refused: int = 0
    ended: list[str] = field(default_factory=list)
    port: int = 0
    host_key: str = ""  # the first
    public_keys: dict[str, str] = field(default_factory=dict)  # by kind
    users: list[str] = field(default_factory=list)
    keys_offered: set[bytes] = field(default_factory=set)

    def host(self, name: str = "a", *, needs_root: bool = False) -> SshHost:
        """This server as a Transport."""
        return SshHost(name, "127.0.0.1", user="tester", port=self.port, host_key=self.host_key, needs_root=needs_root)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SshServer]:
        keys = {kind: _host_key(kind) for kind in self.host_keys}
        self.public_keys = {kind: key.export_public_key("openssh").decode().strip() for kind, key in keys.items()}
        self.host_key = self.public_keys[self.host_keys[0]]
        signed = [self.signed_by.generate_host_certificate(key, "host") for key in keys.values() if self.signed_by]
        server = await asyncssh.create_server(
            lambda: _Login(self), "127.0.0.1", 0, server_host_keys=list(keys.values()), server_host_certs=signed,
            encoding=None,
        )  # fmt: skip
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()


class _Login(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server
        server.connections += 1
        server.connected += 1
        server.most_connected = max(server.most_connected, server.connected)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connected -= 1

    def begin_auth(self, username: str) -> bool:
        self._server.users.append(username)
        return bool(self._server.login_key)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._server.keys_offered.add(key.public_data)
        return key == asyncssh.import_public_key(self._server.login_key)

    def session_requested(self) -> bool | asyncssh.SSHServerProcess[bytes]:
        server = self._server
        if server.open >= server.max_sessions:
            server.refused += 1
            return False
        server.open += 1
        server.most_open = max(server.most_open, server.open)
        return _Process(server)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


class _Process(asyncssh.SSHServerProcess[bytes]):
    """A command. A signal reaches all its children; closing its channel does not end it, as with sshd."""

    def __init__(self, server: SshServer) -> None:
        super().__init__(self._carry_out, None, 3, False)
        self._server = server
        self._child: Process | None = None

    def signal_received(self, signal: str) -> None:
        self._server.ended.append(self.command or "")
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, SIGTERM)

    async def _carry_out(self, _: asyncssh.SSHServerProcess[bytes]) -> None:
        words = (*self._server.shell, "-c", self.command or "")
        env = {**os.environ, **self._server.environment}
        async with child_process(
            *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, env=env
        ) as child:
            self._child = child
            assert child.stdout and child.stderr
            feeding = asyncio.create_task(self._feed(child))
            await asyncio.gather(_relay(child.stdout, self.stdout), _relay(child.stderr, self.stderr))
            feeding.cancel()
            status = await child.wait()
        with contextlib.suppress(BrokenPipeError, ConnectionError, OSError, asyncssh.Error):
            self.exit(status) if status >= 0 else self.exit_with_signal("KILL")
        self._server.open -= 1

    async def _feed(self, child: Process) -> None:
        assert child.stdin
        with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
            while block := await self.stdin.read(65536):
                child.stdin.write(block)
                await child.stdin.drain()
        child.stdin.close()


async def _relay(reader: asyncio.StreamReader, writer: asyncssh.SSHWriter[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
