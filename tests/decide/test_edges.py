"""Apps behind edges: what an edge's list names, and what waits until every edge has followed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.expected import expected_host, forget_evidence
from reconciler.decide.fleet import next_steps
from reconciler.decide.order import FleetStep
from reconciler.decide.plan import plan_fleet, target_of
from reconciler.model.action import (
    AnyAction,
    BalanceRoute,
    Blocked,
    Converged,
    Drain,
    EnableInstance,
    RemoveRoute,
    StartInstance,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.machine import HostSpec
from reconciler.model.observed import ObservedApp, ObservedHost, Unreachable
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve, resolve_edge
from reconciler.targets.site import HostSite
from tests.decide import test_fleet
from tests.decide.test_fleet import DIGEST, app

PLENTY = replace(test_fleet.PLENTY, now_epoch_seconds=1000)
ADDRESSES = {"web1": "10.0.0.2", "web2": "10.0.0.3", "lb1": "10.0.0.1", "lb2": "10.0.0.4"}


def site(name: str) -> HostSite:
    return HostSite(name, HostSpec(address=name, private_address=ADDRESSES[name]), (8080,))


def shop(hosts: Iterable[str] = ("web1", "web2"), edges: Iterable[str] = ("lb1", "lb2"), **more: object) -> App:
    route = {"domains": ["shop.example.com"], **({"edges": [*edges]} if edges else {})}
    return app("shop", [*hosts], route=route, **more)


def fleet_of(wanted: App, *others: str) -> DesiredFleet:
    places = tuple((host, ADDRESSES[host]) for host in wanted.hosts)
    targets, edges = {}, {}
    for host in wanted.hosts:
        files = resolve(wanted, site(host), Traefik(), Path(), DIGEST, lambda name: name)
        targets[files.key] = files.target
    for edge in wanted.route.edges if wanted.route else ():
        files = resolve_edge(wanted, site(edge), Traefik(), Path(), lambda name: name, places)
        edges[files.key] = files.target
    hosts = tuple(sorted({*others, *(host for _, host in [*targets, *edges])}))
    return DesiredFleet(targets, {"shop": wanted}, hosts=hosts, owner="reconcile", prunes=True, edges=edges)


def nothing(desired: DesiredFleet) -> SeenFleet:
    return SeenFleet({host: ObservedHost(host, PLENTY) for host in desired.hosts})


def after(seen: SeenFleet, action: AnyAction, desired: DesiredFleet) -> SeenFleet:
    look = seen.hosts[action.host]
    assert isinstance(look, ObservedHost)
    look = expected_host(look, action, target_of(action, desired))
    if look.app(action.app) == ObservedApp():
        return seen.with_host(replace(look, apps={name: each for name, each in look.apps.items() if name != "shop"}))
    return seen.with_host(look.with_app(action.app, replace(look.app(action.app), owner="reconcile")))


def is_action(step: FleetStep) -> bool:
    return not isinstance(step, Converged | Blocked | Wait)


def run(
    desired: DesiredFleet, seen: SeenFleet, most: int = 200, until: object = None
) -> tuple[SeenFleet, list[AnyAction]]:
    """Do what is to be done, one action after the other, until nothing is left, or until the next is one of `until`."""
    done: list[AnyAction] = []
    while len(done) < most:
        steps = next_steps(desired, seen)
        check(desired, seen, steps)
        actions = [step for step in steps.values() if is_action(step)]
        if not actions or (until and isinstance(actions[0], until)):  # type: ignore[arg-type]
            return seen, done
        seen = after(seen, actions[0], desired)  # type: ignore[arg-type]
        seen = replace(seen, begun=seen.begun | {(actions[0].app, actions[0].host)})
        done.append(actions[0])  # type: ignore[arg-type]
    raise AssertionError(f"it does not end: {done[-6:]}")


def named(seen: SeenFleet, host: str) -> set[str]:
    """The slots of this host to which any edge may send visitors."""
    found = set()
    for look in seen.hosts.values():
        if isinstance(look, ObservedHost):
            route, applied = look.app("shop").route, look.app("shop").applied
            found |= {slot for name, slot in (route.servers if route else ()) if name == host}
            own = f"{ADDRESSES[host]}:"
            found |= {
                server.removeprefix(own) for server in (applied.servers if applied else ()) if server.startswith(own)
            }
    return found


def check(desired: DesiredFleet, seen: SeenFleet, steps: dict[Key, FleetStep]) -> None:
    """What must hold for every decision: no edge sends visitors to what is stopped, or to what was not enabled."""
    for key, step in steps.items():
        if isinstance(step, StopInstance | StartInstance):
            assert step.slot not in named(seen, key[1]), step
        if isinstance(step, BalanceRoute):
            for host, slot in step.servers:
                look = seen.hosts.get(host)
                if isinstance(look, ObservedHost):
                    assert look.app("shop").slot(slot).enabled, step


def words(actions: Iterable[AnyAction]) -> list[str]:
    return [f"{action.host} {action.verb} {action.subject}".strip() for action in actions]


def converged(desired: DesiredFleet) -> SeenFleet:
    seen, _ = run(desired, nothing(desired))
    assert {type(step) for step in next_steps(desired, seen).values()} == {Converged}
    return replace(seen, begun=frozenset())


def servers(seen: SeenFleet, edge: str) -> dict[str, str]:
    look = seen.hosts[edge]
    assert isinstance(look, ObservedHost)
    route = look.app("shop").route
    return dict(route.servers) if route else {}


def test_a_rollout_moves_one_server_of_every_list_before_the_old_slot_is_drained_and_stopped() -> None:
    first = fleet_of(shop())
    seen = converged(first)

    _, done = run(fleet_of(shop(version="2")), seen)

    assert words(each for each in done if each.host in ("web1", "lb1", "lb2"))[:12] == [
        "web1 install 2-aaaaaaaaaaaa",
        "web1 start slot 4001, 2",
        "web1 wait slot 4001",
        "web1 enable slot 4001",
        "lb1 balance web1:4001, web2:4000",
        "lb1 confirm route",
        "lb2 balance web1:4001, web2:4000",
        "lb2 confirm route",
        "web1 drain slot 4000",
        "web1 stop slot 4000",
        "lb1 balance web1:4001, web2:4001",
        "lb1 confirm route",
    ]


def test_the_plan_shows_what_each_edge_will_route() -> None:
    desired = fleet_of(shop(["web1"], ["lb1"]))

    plans = plan_fleet(desired, nothing(desired))

    assert words(plans["shop", "lb1"].actions) == ["lb1 balance web1:4000", "lb1 confirm route"]
    assert [type(plan.end) for plan in plans.values()] == [Converged, Converged]


@pytest.mark.parametrize("edges", [["lb1"], ["lb1", "lb2"], ["web1", "lb1"], ["web1", "web2"]])
def test_a_controller_that_dies_after_any_action_is_followed_by_one_that_finishes(edges: list[str]) -> None:
    """`run` checks at every step that no edge names what is stopped. The next controller has no evidence."""
    start = converged(fleet_of(shop(edges=edges)))
    second, third = fleet_of(shop(edges=edges, version="2")), fleet_of(shop(edges=edges, version="3"))
    for cut in range(40):
        seen = start
        done: list[FleetStep] = []
        for _ in range(cut):
            actions = [step for step in next_steps(second, seen).values() if is_action(step)]
            if not actions:
                break
            seen = after(seen, actions[-1], second)  # type: ignore[arg-type]
            seen = replace(seen, begun=seen.begun | {(actions[-1].app, actions[-1].host)})
            done.append(actions[-1])
        if len(done) < cut:
            break
        for _name, look in seen.hosts.items():
            assert isinstance(look, ObservedHost)
            fresh = {each: forget_evidence(look.app(each)) for each in look.apps}
            seen = seen.with_host(replace(look, apps=fresh))
        seen = replace(seen, begun=frozenset())
        then = (second, third, fleet_of(shop(edges=edges)))[cut % 3]
        end, _ = run(then, seen)
        assert {type(step) for step in next_steps(then, end).values()} == {Converged}, (cut, then)
        assert all(servers(end, edge).keys() == {"web1", "web2"} for edge in edges)
    assert cut > 15


def test_an_edge_that_cannot_be_reached_holds_up_every_cutover_and_stops_nothing() -> None:
    seen = converged(fleet_of(shop()))
    seen = seen.with_host(Unreachable("lb2", "no route to host"))
    desired = fleet_of(shop(version="2"))

    end, done = run(desired, seen)

    steps = next_steps(desired, end)
    assert words(done) == ["web1 install 2-aaaaaaaaaaaa"]
    assert isinstance(steps["shop", "lb1"], Converged)
    assert isinstance(steps["shop", "lb2"], Blocked)
    blocked = steps["shop", "web1"]
    assert isinstance(blocked, Blocked)
    assert (
        blocked.reason == "its edge lb2 cannot follow, so no visitor is moved and nothing is stopped: no route to host"
    )
    assert blocked.next_step == "make it work; or take lb2 out of route.edges"


def test_an_edge_that_is_lost_between_two_lists_keeps_both_slots_running_until_it_is_back() -> None:
    desired = fleet_of(shop(version="2"))
    seen = converged(fleet_of(shop()))
    done: list[str] = []
    while not done or "lb1 confirm" not in done[-1]:
        action = next(step for step in next_steps(desired, seen).values() if is_action(step))
        seen = after(seen, action, desired)  # type: ignore[arg-type]
        seen = replace(seen, begun=seen.begun | {(action.app, action.host)})
        done += words([action])  # type: ignore[list-item]
    lost = seen.hosts["lb2"]
    assert servers(seen, "lb2")["web1"] == "4000"

    away, done_away = run(desired, seen.with_host(Unreachable("lb2", "no answer")))
    end, _ = run(desired, away.with_host(lost))

    assert servers(away, "lb1") == {"web1": "4001", "web2": "4000"}
    assert not [action for action in done_away if isinstance(action, StopInstance | Drain)]
    assert servers(end, "lb2") == servers(end, "lb1") == {"web1": "4001", "web2": "4001"}


def test_an_edge_that_was_taken_out_of_the_desired_state_holds_up_nothing() -> None:
    seen = converged(fleet_of(shop()))
    seen = seen.with_host(Unreachable("lb2", "no route to host"))
    desired = fleet_of(shop(edges=["lb1"], version="2"), "lb2")

    end, _ = run(desired, seen)

    assert servers(end, "lb1") == {"web1": "4001", "web2": "4001"}


def test_a_host_that_dies_stays_in_the_lists_until_it_is_taken_out_of_the_desired_state() -> None:
    """The edges' own health check leaves it out meanwhile. It may only be unreachable for us."""
    seen = converged(fleet_of(shop()))
    seen = seen.with_host(Unreachable("web2", "no route to host"))

    end, _done = run(fleet_of(shop(version="2")), seen)
    without, _ = run(fleet_of(shop(["web1"], version="2"), "web2"), seen)

    assert servers(end, "lb1") == servers(end, "lb2") == {"web1": "4001", "web2": "4000"}
    assert servers(without, "lb1") == servers(without, "lb2") == {"web1": "4001"}


def test_a_new_edge_gets_every_host_and_the_hosts_wait_until_it_is_complete() -> None:
    seen = converged(fleet_of(shop(edges=["lb1"]), "lb2"))
    desired = fleet_of(shop(), "lb2")

    first = next_steps(desired, seen)
    end, done = run(desired, seen)

    assert words([first["shop", "lb2"]]) == ["lb2 balance web1:4000, web2:4000"]  # type: ignore[list-item]
    assert {type(first["shop", host]) for host in ("web1", "web2")} == {Wait}
    assert words(done) == ["lb2 balance web1:4000, web2:4000", "lb2 confirm route"]
    assert servers(end, "lb2") == servers(end, "lb1")


def test_a_list_that_was_changed_by_hand_is_put_back() -> None:
    desired = fleet_of(shop())
    seen = converged(desired)
    look = seen.hosts["lb1"]
    assert isinstance(look, ObservedHost)
    found = look.app("shop")
    assert found.route
    seen = seen.with_host(look.with_app("shop", replace(found, route=replace(found.route, intact=False))))

    _, done = run(desired, seen)

    assert words(done) == ["lb1 balance web1:4000, web2:4000", "lb1 confirm route"]
    assert (done[0].drift, done[0].reason) == ("route", "the route file was changed on the host")


def test_other_domains_are_written_on_the_edges_alone() -> None:
    seen = converged(fleet_of(shop(edges=["lb1"])))
    more = shop(edges=["lb1"])
    assert more.route
    route = more.route.model_copy(update={"domains": ("shop.example.com", "shop.example.org")})

    _, done = run(fleet_of(more.model_copy(update={"route": route})), seen)

    assert words(done) == ["lb1 balance web1:4000, web2:4000", "lb1 confirm route"]
    assert done[0].reason == "domain shop.example.org added"


def test_an_app_that_is_removed_leaves_the_edges_before_its_instances_end() -> None:
    seen = converged(fleet_of(shop()))
    nothing_wanted = replace(fleet_of(shop()), targets={}, edges={}, apps={}, allow_prune=True)

    end, done = run(nothing_wanted, seen)

    first_stop = next(number for number, action in enumerate(done) if isinstance(action, StopInstance))
    verbs = ("confirm route", "remove", "unroute")
    assert sorted(words(done[:first_stop])) == [f"{edge} {verb}" for edge in ("lb1", "lb2") for verb in verbs]
    assert all(not look.apps for look in end.hosts.values() if isinstance(look, ObservedHost))


def test_an_app_moves_from_its_own_route_to_edges_without_a_moment_without_a_route() -> None:
    local = fleet_of(shop(["web1"], []), "lb1")
    seen = converged(local)

    _end, done = run(fleet_of(shop(["web1"], ["lb1"])), seen)

    order = [word for word in words(done) if "prune" not in word]
    assert order == [
        "web1 start slot 4001, 1",
        "web1 wait slot 4001",
        "web1 enable slot 4001",
        "lb1 balance web1:4001",
        "lb1 confirm route",
        "web1 unroute",
        "web1 confirm route",
        "web1 drain slot 4000",
        "web1 stop slot 4000",
    ]


def test_a_host_that_becomes_the_edge_of_its_own_app_rewrites_its_route_in_place() -> None:
    seen = converged(fleet_of(shop(["web1"], []), "web2"))

    end, done = run(fleet_of(shop(["web1", "web2"], ["web1"])), seen)

    assert not [action for action in done if isinstance(action, RemoveRoute)]
    assert servers(end, "web1") == {"web1": "4001", "web2": "4000"}


def test_an_app_moves_back_from_edges_to_its_own_route_and_the_edge_lets_go_before_the_old_slot_ends() -> None:
    seen = converged(fleet_of(shop(["web1"], ["lb1"])))

    _, done = run(fleet_of(shop(["web1"], []), "lb1"), seen)

    assert words(done) == [
        "web1 start slot 4001, 1",
        "web1 wait slot 4001",
        "web1 cutover slot 4000 → 4001",
        "web1 confirm slot 4001",
        "lb1 unroute",
        "lb1 confirm route",
        "web1 drain slot 4000",
        "web1 stop slot 4000",
        "lb1 remove",
    ]


def test_a_former_edge_lets_go_before_an_instance_that_it_names_ends() -> None:
    seen = converged(fleet_of(shop()))

    _, done = run(fleet_of(shop(edges=["lb1"], version="2"), "lb2"), seen)

    of_lb2 = [words([action])[0] for action in done if action.host == "lb2"]
    assert of_lb2 == ["lb2 unroute", "lb2 confirm route", "lb2 remove"]
    assert words(done).index("lb2 confirm route") < words(done).index("web1 drain slot 4000")


def test_a_new_instance_that_fails_takes_no_edge_away_from_the_old_one() -> None:
    desired = fleet_of(shop(version="2"))
    seen, done = run(desired, converged(fleet_of(shop())), until=WaitHealthy)
    look = seen.hosts["web1"]
    assert isinstance(look, ObservedHost)
    found = look.app("shop")
    failed = replace(found.slot("4001"), failure="it exited twice", healthy=False)
    seen = seen.with_host(look.with_app("shop", found.with_slot(failed)))

    end, done = run(desired, seen)

    assert [action.verb for action in done] == ["reject"]
    assert servers(end, "lb1") == {"web1": "4000", "web2": "4000"}


def test_a_port_that_another_program_took_is_left_out_of_every_list() -> None:
    desired = fleet_of(shop())
    seen = converged(desired)
    look = seen.hosts["web1"]
    assert isinstance(look, ObservedHost)
    found = look.app("shop")
    lost = replace(found.slot("4000"), stranger="another program", port_lost=True, listening=False, healthy=False)
    seen = seen.with_host(look.with_app("shop", found.with_slot(lost)))

    steps = next_steps(desired, seen)

    assert words([steps["shop", "lb1"], steps["shop", "lb2"]]) == ["lb1 balance web2:4000", "lb2 balance web2:4000"]  # type: ignore[list-item]
    assert steps["shop", "web1"] == Wait("web1", "shop", "waits until lb1 and lb2 leave it out")


def test_the_leases_of_all_edges_are_ours_before_an_instance_stops() -> None:
    """Another controller that slept may hold an older list: with the lease it cannot write it any more."""
    desired = fleet_of(shop(version="2"))
    seen, _done = run(desired, converged(fleet_of(shop())), until=Drain)
    look = seen.hosts["lb2"]
    assert isinstance(look, ObservedHost)
    ours = {
        name: replace(each, lease=replace(each.lease, token="ours"))
        for name, each in seen.hosts.items()
        if isinstance(each, ObservedHost)
    }
    seen = replace(seen, hosts={**ours, "lb2": replace(look, lease=replace(look.lease, token="other"))}, token="ours")

    steps = next_steps(desired, seen)

    assert steps["shop", "web1"] == Wait("web1", "shop", "waits until no other controller can change its edges")
    taken = steps["shop", "lb2"]
    assert isinstance(taken, BalanceRoute)
    assert taken.servers == (("web1", "4001"), ("web2", "4000"))
    assert not is_action(steps["shop", "lb1"])


def test_a_host_is_ours_before_its_edges_move() -> None:
    desired = fleet_of(shop(version="2"))
    seen, _done = run(desired, converged(fleet_of(shop())), until=BalanceRoute)

    step = next_steps(desired, replace(seen, token="ours"))["shop", "web1"]

    assert isinstance(step, EnableInstance)
    assert step.reason == "before its edges move"
