"""The demo's host: an SSH server on 127.0.0.1 that runs commands as children of this process.

Its `systemctl` and `journalctl` are the demo's. All other programs are this machine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.demo.processes import end_tasks, signal_group
from reconciler.host.child import child_process

if TYPE_CHECKING:
    import asyncssh

SHIMS = ("systemctl", "journalctl")


@dataclass(frozen=True)
class Address:
    """The port and host key for fleet.yaml."""

    port: int
    host_key: str


def write_shims(folder: Path, socket: Path) -> None:
    """Write the commands that come before this machine's own on the host's PATH."""
    folder.mkdir(parents=True)
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("shim.py")), str(socket)]
    for name in SHIMS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join([*program, name])} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def make_login(home: Path) -> str:
    """Write a new SSH key where SSH finds it by default, and return its public half."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, parents=True)
    path = folder / "id_ed25519"
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    return key.export_public_key().decode()


@contextlib.asynccontextmanager
async def demo_host(authorized_key: str, shims: Path, home: Path) -> AsyncIterator[Address]:
    """Run the host during the block. Commands that still run at its end are stopped."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    sessions = _Sessions(
        {"HOME": str(home), "LANG": "C.UTF-8", "RECONCILE_PATH": f"{shims}:{os.environ.get('PATH', os.defpath)}"}
    )
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=_server_class(), server_host_keys=[key], gss_host=None, encoding=None,
        authorized_client_keys=asyncssh.import_authorized_keys(authorized_key), process_factory=sessions.run,
    )  # fmt: skip
    try:
        yield Address(server.get_port(), key.export_public_key().decode().strip())
    finally:
        server.close()
        await sessions.end()


def _server_class() -> type[asyncssh.SSHServer]:
    import asyncssh

    class Server(asyncssh.SSHServer):
        """Forwards connections to its own loopback only, as reconcile needs them for health checks."""

        def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
            return dest_host in ("127.0.0.1", "localhost", "::1")

    return Server


class _Sessions:
    """The commands that are running."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: set[asyncio.Task[None]] = set()

    def run(self, channel: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.create_task(self._run(channel))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def end(self) -> None:
        await end_tasks(self._running)

    async def _run(self, channel: asyncssh.SSHServerProcess[bytes]) -> None:
        async with child_process(
            "/bin/sh", "-c", channel.command or "exit 1", stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/",
            env=self._environment, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout and process.stderr
            feeding = asyncio.create_task(_feed(channel, process))
            try:
                stdout, stderr, status = await asyncio.gather(
                    process.stdout.read(), process.stderr.read(), process.wait()
                )
                with contextlib.suppress(OSError):  # the controller is gone
                    channel.stdout.write(stdout)
                    channel.stderr.write(stderr)
                    channel.exit(status)
            finally:
                feeding.cancel()
                signal_group(process, signal.SIGKILL)
                await process.wait()


async def _feed(channel: asyncssh.SSHServerProcess[bytes], process: Process) -> None:
    """Copy the client's input to the process. As in sshd, a broken connection ends the input."""
    import asyncssh

    assert process.stdin
    with contextlib.suppress(OSError, asyncssh.Error):
        while block := await channel.stdin.read(65536):
            process.stdin.write(block)
            await process.stdin.drain()
    process.stdin.close()
