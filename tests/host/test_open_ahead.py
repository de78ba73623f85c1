"""A connection that is opened ahead is the one that is used, and it fails once, where its first user sees it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from reconciler.errors import HostUnreachable
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command
from tests.support.ssh_server import SshServer


def test_what_was_opened_ahead_is_used() -> None:
    async def main() -> tuple[int, list[str]]:
        async with SshServer().running() as server:
            host = server.host()
            host.open_ahead()
            host.open_ahead()
            await host.open()
            said = [(await host.run(Command("echo hello"))).stdout]
            host.open_ahead()
            await host.close()
            return server.connections, said

    assert asyncio.run(main()) == (1, ["hello\n"])


def test_a_host_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    async def refuse(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise HostUnreachable(name, "no answer in time", "ssh a")

    monkeypatch.setattr("reconciler.host.ssh.connect", refuse)

    async def main() -> None:
        host = SshHost("a", "127.0.0.1", user=None, port=None, host_key=None)
        host.open_ahead()
        with pytest.raises(HostUnreachable):
            await host.open()

    asyncio.run(main())
    assert asked == ["a"]


def test_one_that_nobody_uses_ends_with_its_host() -> None:
    """A server that never answers: the login would take ten seconds."""

    async def main() -> set[str]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            host = SshHost("a", "127.0.0.1", user="x", port=port, host_key=None)
            host.open_ahead()
            await asyncio.sleep(0)
            await host.close()
            return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert asyncio.run(main()) == set()
