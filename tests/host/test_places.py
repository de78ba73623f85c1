"""A fleet larger than the limit of open files: hosts take turns, and no connection in use is closed."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable

import pytest

from reconciler.host import places as module
from reconciler.host.bursts import Burst
from reconciler.host.places import Places, places, raise_open_files
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command
from tests.host.test_sessions import until
from tests.support.ssh_server import SshServer

BRIEF = Command("echo $1", ("it ran",))


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(module, "raise_open_files", lambda: 0)


def with_places(most: int, story: Callable[[SshServer], Awaitable[None]]) -> SshServer:
    """Run the story with so many places and a server."""

    async def run() -> SshServer:
        module._places[asyncio.get_running_loop()] = Places(most)
        async with SshServer().running() as server:
            await story(server)
            return server

    return asyncio.run(run())


async def close_all(hosts: list[SshHost]) -> None:
    for host in hosts:
        await host.close()


def test_hosts_beyond_the_limit_take_turns() -> None:
    async def story(server: SshServer) -> None:
        hosts = [server.host(f"h{n}") for n in range(12)]
        done = await asyncio.gather(*(host.run(BRIEF) for host in hosts))
        assert [each.stdout for each in done] == ["it ran\n"] * 12
        await close_all(hosts)

    server = with_places(3, story)
    assert (server.connections, server.most_connected) == (12, 3)


def test_a_connection_that_is_used_is_not_closed_for_another_host() -> None:
    async def story(server: SshServer) -> None:
        first, second = server.host("a"), server.host("b")
        _, writer = await first.connect(server.port)
        waiting = asyncio.create_task(second.run(BRIEF))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert len(server.users) == 1

        writer.close()
        writer.close()

        assert (await waiting).stdout == "it ran\n"
        await close_all([first, second])

    with_places(1, story)


def test_most_hosts_keep_their_connection_from_one_pass_to_the_next() -> None:
    """Four hosts, looked at in the same order, share three places: one connects anew in each pass."""

    async def story(server: SshServer) -> None:
        hosts = [server.host(f"h{n}") for n in range(4)]
        for _ in range(3):
            for host in hosts:
                await host.run(BRIEF)
                await asyncio.sleep(0.02)
        await close_all(hosts)

    server = with_places(3, story)
    assert server.connections == 4 + 1 + 1


def test_a_host_that_cannot_be_reached_keeps_no_place() -> None:
    async def story(server: SshServer) -> None:
        nobody = SshHost("nobody", "127.0.0.1", user="tester", port=1, host_key=server.host_key, needs_root=False)
        for _ in range(3):
            with pytest.raises(Exception, match="nobody"):
                await nobody.run(BRIEF)
        host = server.host()
        assert (await host.run(BRIEF)).stdout == "it ran\n"
        await host.close()

    with_places(1, story)


def test_a_host_that_stops_waiting_for_a_place_leaves_it_to_the_next() -> None:
    async def story(server: SshServer) -> None:
        hosts = [server.host(f"h{n}") for n in range(3)]
        _, writer = await hosts[0].connect(server.port)
        gone, stays = (asyncio.create_task(host.run(BRIEF)) for host in hosts[1:])
        await until(lambda: len(places()._waiting) == 2)
        gone.cancel()

        writer.close()

        assert (await stays).stdout == "it ran\n"
        await close_all(hosts)

    with_places(1, story)


def test_a_fleet_raises_the_limit_of_open_files_before_hosts_have_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))

    assert raise_open_files() == 4096
    assert raise_open_files() == 4096
    assert limits == [(1024, 4096), (4096, 4096)]


def test_what_takes_long_no_longer_holds_up_what_comes_after_it() -> None:
    async def story() -> list[str]:
        burst, order = Burst(1, 0.05), list[str]()

        async def take(name: str, seconds: float) -> None:
            async with burst.turn():
                order.append(f"{name} begins")
                await asyncio.sleep(seconds)
                order.append(f"{name} ends")

        await asyncio.gather(take("quick", 0.0), take("dead", 0.5), take("other", 0.0), take("last", 0.0))
        return order

    order = asyncio.run(story())
    assert order == [
        "quick begins", "quick ends", "dead begins", "other begins", "other ends", "last begins", "last ends",
        "dead ends",
    ]  # fmt: skip
