"""Many commands share one connection: as many at once as sshd allows, and a failing one disturbs no other."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from reconciler.errors import HostRefused, HostUnreachable
from reconciler.host import ssh
from reconciler.host.local import LocalHost
from reconciler.host.sessions import LONG_SECONDS, MOST_SESSIONS, TRY_MORE_AFTER, Sessions
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command, Transport
from tests.support.ssh_server import SshServer

BRIEF = Command("sleep 0.05; echo $1", ("it ran",))


async def until(happened: object, seconds: float = 10) -> None:
    assert callable(happened)
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("max_sessions", [1, 2, 4, 10])
def test_twenty_commands_run_under_any_max_sessions(max_sessions: int) -> None:
    """All on one connection; a refused session does not break it."""

    async def story(server: SshServer) -> list[str]:
        async with server.running():
            host = server.host()
            completed = await asyncio.gather(*(host.run(BRIEF) for _ in range(20)))
            await host.close()
            return [each.stdout for each in completed]

    server = SshServer(max_sessions)
    assert asyncio.run(story(server)) == ["it ran\n"] * 20
    assert server.connections == 1
    assert server.most_open == min(max_sessions, MOST_SESSIONS)


def test_a_server_that_never_opens_a_session_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "MOST_REFUSALS", 2)

    async def story() -> None:
        async with SshServer(max_sessions=0).running() as server:
            await server.host().run(BRIEF)

    with pytest.raises(HostRefused, match="sshd refuses every session") as caught:
        asyncio.run(story())
    assert "MaxSessions" in caught.value.next_step


def test_the_timeout_of_a_command_starts_when_its_session_opens() -> None:
    async def story() -> list[float]:
        async with SshServer(max_sessions=1).running() as server:
            host = server.host()
            work = (host.run(Command("sleep 0.4"), timeout_seconds=1.2) for _ in range(5))
            completed = await asyncio.gather(*work)
            await host.close()
            return sorted(each.queued_seconds for each in completed)

    queued = asyncio.run(story())
    assert queued[0] < 0.4
    assert queued[-1] > 1.2


def test_a_command_that_takes_too_long_is_ended_without_disturbing_others() -> None:
    async def story(server: SshServer) -> str:
        async with server.running():
            host = server.host()
            other = asyncio.create_task(host.run(Command("sleep 1; echo whole")))
            with pytest.raises(HostUnreachable, match=r"did not end within 0\.3 s"):
                await host.run(Command("sleep 100 # the slow one"), timeout_seconds=0.3)
            text = (await other).stdout
            await until(lambda: server.open == 0)
            await host.close()
            return text

    server = SshServer()
    assert asyncio.run(story(server)) == "whole\n"
    assert server.connections == 1
    assert len(server.ended) == 1
    assert "the slow one" in server.ended[0]


def test_a_command_that_is_killed_on_the_host_does_not_disturb_others() -> None:
    async def story(server: SshServer) -> str:
        async with server.running():
            host = server.host()
            other = asyncio.create_task(host.run(Command("sleep 0.5; echo whole")))
            with pytest.raises(HostUnreachable, match="a command broke off"):
                await host.run(Command("kill -KILL $$"))
            text = (await other).stdout
            await host.close()
            return text

    server = SshServer()
    assert asyncio.run(story(server)) == "whole\n"
    assert server.connections == 1


@pytest.mark.parametrize("far", [True, False], ids=["ssh", "local"])
def test_a_cancelled_command_ends_on_the_host(far: bool, tmp_path: Path) -> None:
    """Even while it waits for stdin; its children end too."""

    async def forever() -> object:
        yield b"a beginning\n"
        await asyncio.sleep(3600)

    async def story(server: SshServer) -> list[int]:
        async with server.running():
            host: Transport = server.host() if far else LocalHost("a", needs_root=False)
            command = Command('read line; sleep 3600 & echo $$ $! >"$1.new"; mv "$1.new" "$1"; cat', (str(pids),))
            work = asyncio.create_task(host.run(command, forever()))  # type: ignore[arg-type]
            await until(pids.exists)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await host.close()
            return [int(each) for each in pids.read_text().split()]

    pids = tmp_path / "pids"
    started = asyncio.run(story(SshServer()))
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in started):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_long_commands_leave_one_session_to_the_others() -> None:
    """Otherwise two uploads would block every other app on a host with MaxSessions 2."""

    async def story() -> float:
        async with SshServer(max_sessions=2).running() as server:
            host: SshHost = server.host()
            await asyncio.gather(*(host.run(BRIEF) for _ in range(6)))  # what sshd gives is known by now
            uploads = [
                asyncio.create_task(host.run(Command("sleep 2"), timeout_seconds=LONG_SECONDS + 1)) for _ in range(4)
            ]
            await until(lambda: server.open > 0)
            begun = time.monotonic()
            await host.run(BRIEF)
            took = time.monotonic() - begun
            for upload in uploads:
                upload.cancel()
            await asyncio.gather(*uploads, return_exceptions=True)
            await host.close()
            return took

    assert asyncio.run(story()) < 1.5


def test_more_sessions_are_tried_again_after_a_temporary_refusal() -> None:
    async def story() -> tuple[int, int]:
        sessions = Sessions()
        turns = [await sessions.begin(1) for _ in range(3)]
        refused = asyncio.create_task(sessions.wait_after_refusal(turns[2]))
        await asyncio.sleep(0)
        fewer = sessions.limit
        for turn in turns[:2]:
            sessions.end(turn)
        await refused
        for _ in range(TRY_MORE_AFTER * MOST_SESSIONS):
            sessions.note_session()
        return fewer, sessions.limit

    assert asyncio.run(story()) == (2, MOST_SESSIONS)
