"""The real engine over model hosts and edges: what happens while a link is silent, and when the controller dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.engine.converge import converge
from reconciler.errors import HostUnreachable
from reconciler.model.action import AnyAction, BalanceRoute, ConfirmRoute, Drain, StopInstance
from reconciler.model.desired import App
from reconciler.model.observed import ObservedHost, Unreachable
from tests.decide.test_fleet import app
from tests.support.stepping import PLENTY, QUIET, WHO, Stepping, ends, engine_of, opened, stepping

__all__ = ["stepping"]


def shop(version: str = "1", edges: tuple[str, ...] = ("lb1", "lb2")) -> App:
    route = {"domains": ["shop.example.com"], "edges": [*edges]}
    return app("shop", ["web1", "web2"], route=route, version=version)


@pytest.fixture(autouse=True)
def hosts(stepping: Stepping) -> None:
    for name in ("web1", "web2", "lb1", "lb2"):
        stepping.hosts[name] = ObservedHost(name, replace(PLENTY, now_epoch_seconds=1000))


def servers(stepping: Stepping, edge: str) -> dict[str, str]:
    look = stepping.hosts[edge]
    assert isinstance(look, ObservedHost)
    route = look.app("shop").route
    return dict(route.servers) if route else {}


def once(stepping: Stepping, wanted: App) -> dict[tuple[str, str], str]:
    return ends(asyncio.run(converge(opened(wanted), QUIET, WHO)))


def test_a_rollout_over_two_edges_ends_converged_and_the_next_pass_is_quiet(stepping: Stepping) -> None:
    once(stepping, shop())
    told = once(stepping, shop("2"))
    stepping.done.clear()

    again = once(stepping, shop("2"))

    assert told == {(name, host): "2" for name in ["shop"] for host in ("web1", "web2", "lb1", "lb2")}
    assert again == told
    assert stepping.done == []
    assert servers(stepping, "lb1") == servers(stepping, "lb2") == {"web1": "4001", "web2": "4001"}


def test_no_edge_gives_its_lease_back_while_a_host_behind_it_is_being_changed(stepping: Stepping) -> None:
    once(stepping, shop())
    stepping.closed.clear()

    once(stepping, shop("2"))

    last = [kept for host, _, kept in stepping.closed if host == "lb1"]
    assert (last.count(False), last[-1]) == (1, False)


@pytest.mark.parametrize("verb", ["balance", "confirm"])
def test_a_link_that_breaks_in_the_middle_of_a_cutover_leaves_both_slots_running(stepping: Stepping, verb: str) -> None:
    once(stepping, shop())
    stepping.done.clear()
    lost = HostUnreachable("lb2", "the connection broke")
    stepping.fails = lambda action: lost if (action.host, action.verb) == ("lb2", verb) else None

    told = once(stepping, shop("2"))
    stopped = [action for action in stepping.done if isinstance(action, Drain | StopInstance)]
    stepping.fails = lambda action: None
    again = once(stepping, shop("2"))

    assert stopped == []
    assert told["shop", "lb2"] == "unreachable"
    assert told["shop", "web1"] == "unreachable"
    assert set(again.values()) == {"2"}
    assert servers(stepping, "lb1") == servers(stepping, "lb2")


def test_a_controller_that_is_killed_after_any_action_is_followed_by_one_that_finishes(stepping: Stepping) -> None:
    """With another version: the lists of the edges may differ when it begins."""
    once(stepping, shop())
    cuts = 0
    for cut in range(1, 60):
        stepping.done.clear()
        version = str(cut + 1)

        async def killed(version: str = version, cut: int = cut) -> bool:
            engine = engine_of(opened(shop(version)))
            engine.begin_turn()
            work = asyncio.create_task(engine.run(until_rest=True))
            while len(stepping.done) < cut and not work.done():
                await asyncio.sleep(0)
            whole = work.done()
            for job in [*engine.jobs.values()]:
                job.task.cancel()
            work.cancel()
            await asyncio.gather(work, *(job.task for job in engine.jobs.values()), return_exceptions=True)
            return whole

        if asyncio.run(killed()):
            break
        assert_named_are_running(stepping)
        told = once(stepping, shop(f"{version}.1"))
        assert set(told.values()) == {f"{version}.1"}, cut
        assert servers(stepping, "lb1") == servers(stepping, "lb2")
        cuts += 1
    assert cuts > 15


def assert_named_are_running(stepping: Stepping) -> None:
    for edge in ("lb1", "lb2"):
        for host, slot in servers(stepping, edge).items():
            look = stepping.hosts[host]
            assert isinstance(look, ObservedHost)
            assert look.app("shop").slot(slot).running_now


def test_the_visitors_of_no_host_are_moved_while_an_edge_is_silent(stepping: Stepping) -> None:
    once(stepping, shop())
    kept = stepping.hosts["lb2"]
    stepping.hosts["lb2"] = Unreachable("lb2", "no route to host")
    stepping.done.clear()

    told = once(stepping, shop("2"))
    moved: Callable[[AnyAction], bool] = lambda action: isinstance(action, BalanceRoute | ConfirmRoute)  # noqa: E731
    quiet = not any(map(moved, stepping.done))
    stepping.hosts["lb2"] = kept
    again = once(stepping, shop("2"))

    assert quiet
    assert told == {
        ("shop", "web1"): "unreachable",
        ("shop", "web2"): "waiting",
        ("shop", "lb1"): "2",
        ("shop", "lb2"): "unreachable",
    }
    assert set(again.values()) == {"2"}
