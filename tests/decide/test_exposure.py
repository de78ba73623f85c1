"""An app that listens on every address can be reached past Traefik: a note, or a problem if its route guards it."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.next_action import next_action
from reconciler.decide.order import FleetStep, obstacle
from reconciler.model.action import Blocked, Converged
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost
from reconciler.model.target import Target, TargetRoute
from tests.support.world import World, run_pass, wanted

ROUTE = TargetRoute(("a.de",), {"4000": "route-4000", "4001": "route-4001"})
NOTE = "it listens on every address: visitors can reach port 4000 past Traefik"


def exposed(target: Target) -> ObservedHost:
    world = World()
    assert isinstance(run_pass(world, target), Converged)
    seen = world.look()
    app = seen.app("hello")
    return seen.with_app("hello", app.with_slot(replace(app.slot("4000"), exposed=True)))


def test_a_port_that_others_can_reach_is_noted() -> None:
    target = wanted(route=ROUTE)

    end = next_action(target, exposed(target))

    assert isinstance(end, Converged)
    assert end.note == NOTE
    assert "127.0.0.1" in (end.next_step or "") and "firewalled: true" in (end.next_step or "")


def test_a_password_or_ranges_that_do_not_count_there_are_a_problem() -> None:
    target = wanted(route=replace(ROUTE, guarded=("basic_auth", "allow_ips")))

    end = next_action(target, exposed(target))

    assert isinstance(end, Blocked)
    assert (end.kind, end.serving) == ("exposed", "1")
    assert end.reason == f"{NOTE}; basic_auth and allow_ips of its route do not count there"


def test_the_problem_keeps_no_other_app_and_no_other_host_waiting() -> None:
    problem = Blocked("a", "hello", "reached past Traefik", kind="exposed")
    later = Converged("b", "hello", "1", "4000")
    steps: dict[Key, FleetStep] = {("hello", "a"): problem, ("hello", "b"): later}

    assert obstacle(steps, steps) is None


def test_a_firewall_makes_it_right() -> None:
    target = wanted(route=replace(ROUTE, guarded=("allow_ips",)), firewalled=True)

    end = next_action(target, exposed(target))

    assert isinstance(end, Converged) and end.note is None


def test_a_port_without_a_route_is_meant_to_be_reached() -> None:
    target = wanted(route=None)

    end = next_action(target, exposed(target))

    assert isinstance(end, Converged) and end.note is None
