"""Visitors wait while the only instance is replaced, wherever a pass is cut off, and reach what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.budget import admit
from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, ConfirmRoute, Converged, Drain, HoldVisitors, StartInstance
from reconciler.model.fleet import DesiredFleet, SeenFleet, Wait
from reconciler.model.observed import AppliedRoute, HostFacts, RouteFile
from reconciler.model.target import Target, TargetRoute
from tests.support.world import World, run_pass, wanted

HELD = TargetRoute(("example.com",), {"4000": "route-4000"}, held={"4000": "held-4000"})
SWAP = ["install", "hold", "confirm", "drain", "start", "wait", "cutover", "confirm", "unhold"]


def one(version: str = "1", **changes: object) -> Target:
    return replace(wanted(version, slots=("4000",), route=HELD), **changes)  # type: ignore[arg-type]


def served(version: str = "1") -> World:
    world = World()
    assert isinstance(run_pass(world, one(version)), Converged)
    world.actions.clear()
    return world


def verbs(world: World) -> list[str]:
    return [action.verb for action in world.actions]


def test_visitors_wait_from_before_the_stop_until_the_new_version_is_healthy() -> None:
    world = served()

    assert run_pass(world, one("2")) == Converged("a", "hello", "2", "4000")
    assert verbs(world) == SWAP
    drain = next(action for action in world.actions if isinstance(action, Drain))
    assert (drain.within_seconds, drain.reason) == (2.0, "2 s at most for open requests")
    assert (world.app.hold, world.app.route and world.app.route.digest) == ("", "route-4000")


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("cut", range(1, len(SWAP)))
def test_wherever_a_pass_is_cut_off_the_next_one_ends_with_nobody_waiting(cut: int, reboots: bool) -> None:
    world = served()
    assert run_pass(world, one("2"), cut) is None
    if reboots:
        world.reboot(one("2"))

    assert isinstance(run_pass(world, one("2")), Converged)
    assert (world.app.hold, world.app.route and world.app.route.digest) == ("", "route-4000")
    world.actions.clear()
    run_pass(world, one("2"))
    assert verbs(world) == []


@pytest.mark.parametrize("cut", range(1, len(SWAP)))
def test_the_former_commit_lets_visitors_through_too(cut: int) -> None:
    world = served()
    run_pass(world, one("2"), cut)

    assert isinstance(run_pass(world, one("1")), Converged)
    assert (world.app.hold, world.app.route and world.app.route.digest) == ("", "route-4000")


@pytest.mark.parametrize("cut", [*range(1, 12), None])
def test_after_a_bad_version_visitors_wait_for_the_one_that_comes_back(cut: int | None) -> None:
    bad = {f"2-{'0' * 12}": "crashes"}
    world = served()
    world.behaviour = bad
    run_pass(world, one("2"), cut)

    assert isinstance(run_pass(world, one("2")), Blocked)
    assert (world.app.hold, world.app.route and world.app.route.digest) == ("", "route-4000")
    if cut is None:
        back = ["wait", "cutover", "confirm", "unhold"]
        assert verbs(world) == ["install", "hold", "confirm", "drain", "start", "wait", "reject", *back]


def test_a_version_that_comes_back_unhealthy_gets_its_visitors_all_the_same() -> None:
    world = served()
    world.behaviour = {f"{version}-{'0' * 12}": "crashes" for version in "12"}

    assert isinstance(run_pass(world, one("2")), Blocked)
    assert verbs(world)[-5:] == ["reject", "wait", "cutover", "confirm", "unhold"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"route": replace(HELD, held={})}, "a user's own systemd cannot listen there"),
        ({"route": replace(HELD, digests={"4000": "other"}, held={"4000": "held-other"})}, "its route changes as well"),
        ({"drain_seconds": 0.0}, "drain"),
    ],
)
def test_visitors_do_not_wait_where_they_cannot_or_for_no_longer_than_the_app_says(
    changes: dict[str, object], why: str
) -> None:
    world = served()

    run_pass(world, one("2", **changes))
    if why == "drain":
        assert verbs(world) == [verb for verb in SWAP if verb != "drain"]
    else:
        assert "hold" not in verbs(world)
        assert verbs(world)[:2] == ["install", "start"]


@pytest.mark.parametrize("what", ["refused", "silent", "lags", "by hand", "stopped"])
def test_the_swap_goes_on_where_visitors_cannot_wait(what: str) -> None:
    """This host could not make the place, Traefik does not show its routes, or nothing serves."""
    world = served()
    seen = world.seen.with_app("hello", replace(world.app, releases=(*world.app.releases, f"2-{'0' * 12}")))
    app = seen.app("hello")
    route, applied = app.route, AppliedRoute("4000", "route-4000")
    assert isinstance(route, RouteFile)
    app = replace(app, applied=replace(applied, attempt=route.attempt))
    assert isinstance(next_action(one("2"), seen.with_app("hello", app)), HoldVisitors)
    changed = {
        "refused": replace(app, hold="refused"),
        "silent": app,
        "lags": replace(app, applied=replace(applied, attempt=route.attempt + 1)),
        "by hand": replace(app, route=replace(route, intact=False)),
        "stopped": app.with_slot(replace(app.slot("4000"), state="failed")),
    }[what]
    if what == "silent":
        seen = replace(seen, traefik="no answer")

    assert isinstance(next_action(one("2"), seen.with_app("hello", changed)), StartInstance)


def test_while_traefik_has_not_confirmed_that_they_wait_the_instance_runs_on() -> None:
    world = served()
    run_pass(world, one("2"), 2)
    world.traefik_lags = True

    assert isinstance(next_action(one("2"), world.look()), ConfirmRoute)
    given_up = world.look().with_app("hello", replace(world.app, unconfirmed="not within 10 s"))
    assert isinstance(next_action(one("2"), given_up), StartInstance)


def test_visitors_begin_to_wait_only_when_the_start_has_its_place() -> None:
    """Another app starts on a host for one at a time: nobody waits for that. Whose visitors wait starts next."""
    world = served()
    other = replace(one("2"), app="other")
    target = one("2")
    seen = world.seen.with_app("hello", replace(world.app, hold="armed"))
    seen = replace(seen, facts=HostFacts(cores=1, memory_available_kib=10**6))
    hello, theirs = ("hello", "a"), ("other", "a")
    targets = {hello: target, theirs: other}
    begins = HoldVisitors("a", "other", "", "4000", "i")
    start = StartInstance("a", "hello", "", "4000", target.identity(target.release or ""))

    steps = admit(targets, DesiredFleet(targets), SeenFleet({"a": seen}), {theirs: begins, hello: start})

    assert steps[hello] == start
    assert isinstance(steps[theirs], Wait)
