"""How Traefik itself is changed: beside the one that serves, from one set up by hand, and what its apps wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.action import Blocked, Converged, StartInstance
from reconciler.model.observed import TRAEFIK, AppliedRoute, ObservedApp, ObservedHost, Slot
from reconciler.model.target import Target
from reconciler.observe.ask import trouble_of_traefik
from reconciler.tools.traefik import route_files
from reconciler.tools.traefik_api import missing_routes, route_held_by_all
from tests.support.world import World, run_pass, wanted

HAND = "traefik.service"


def proxy(version: str = "1", env: str = "e1") -> Target:
    return wanted(version, env=env, slots=("8080", "8081"), route=None, proxy=True)


def verbs(world: World) -> list[str]:
    return [action.verb for action in world.actions]


def test_a_new_traefik_starts_beside_the_old_one_and_the_plan_names_the_risk() -> None:
    world = World()
    run_pass(world, proxy("1"))
    world.actions.clear()

    assert isinstance(run_pass(world, proxy("2")), Converged)
    assert verbs(world) == ["install", "start", "wait", "enable", "stop"]
    assert "may get a 404" in world.actions[1].reason


def by_hand(*, foreign: bool = False) -> World:
    """A host whose Traefik somebody set up; its API has the first port."""
    slot = Slot("8080", stranger="another program")
    app = ObservedApp(slots=(slot,), by_hand=HAND)
    if foreign:
        app = replace(app, by_hand=None, foreign=("/etc/systemd/system/traefik.service",))
    return World(ObservedHost("a", apps={"hello": app}))


def test_a_traefik_set_up_by_hand_is_taken_over_for_good() -> None:
    world = by_hand()

    assert isinstance(run_pass(world, proxy()), Converged)
    assert verbs(world) == ["install", "start", "wait", "enable"]
    start = world.actions[1]
    assert isinstance(start, StartInstance) and start.takes_over == HAND
    assert "no service for about a second" in start.reason
    assert world.app.by_hand is None


@pytest.mark.parametrize("cut", range(5))
def test_a_takeover_cut_anywhere_leaves_one_unit_enabled_and_is_finished_later(cut: int) -> None:
    world = by_hand()

    run_pass(world, proxy(), cut_after=cut)
    assert world.app.by_hand or any(slot.enabled for slot in world.app.slots)
    assert isinstance(run_pass(world, proxy()), Converged)
    assert world.app.by_hand is None


def test_a_traefik_that_cannot_start_gives_the_ports_back() -> None:
    world = by_hand()
    world.behaviour["1-000000000000"] = "crashes"

    assert isinstance(run_pass(world, proxy()), Blocked)
    assert getattr(world.actions[-1], "takes_over", "") == HAND
    assert (world.app.by_hand, verbs(world)[-1]) == (HAND, "reject")


def test_a_foreign_traefik_unit_is_left_alone_with_the_command_to_adopt_it() -> None:
    world = by_hand(foreign=True)

    end = run_pass(world, proxy())
    assert isinstance(end, Blocked) and world.actions == []
    assert "reconcile adopt traefik" in (end.next_step or "")


def test_an_old_unit_running_beside_ours_is_stopped() -> None:
    world = World()
    run_pass(world, proxy())
    world.seen = world.seen.with_app("hello", replace(world.app, by_hand=HAND))

    world.actions.clear()

    assert isinstance(run_pass(world, proxy()), Converged)
    assert (world.app.by_hand, verbs(world)) == (None, ["enable"])


# --- several instances, one answer


def held(app: str = "hello", digest: str = "aaaaaaaaaaaa", status: str = "enabled") -> dict[str, object]:
    router = {"status": status, "error": [] if status == "enabled" else ["unknown entry point"]}
    return {"routers": {f"{app}@file": router}, "services": {f"{app}-route-4000-{digest}@file": {}}}


def test_a_route_counts_as_applied_only_when_every_traefik_applied_it() -> None:
    new, old = held(), held(digest="bbbbbbbbbbbb")

    assert route_held_by_all("hello", [new, new], "a" * 12) == AppliedRoute("4000", "a" * 12)
    assert route_held_by_all("hello", [new, old], "a" * 12) == AppliedRoute("4000", "b" * 12)
    assert route_held_by_all("hello", [new, {}], "a" * 12) is None
    assert route_held_by_all("hello", [{}, new], "") == AppliedRoute("4000", "a" * 12)
    assert route_held_by_all("hello", [], "") is None


def test_routes_that_a_new_traefik_does_not_serve_are_named() -> None:
    both = held()
    both["routers"] |= held("other")["routers"]  # type: ignore[operator]

    assert missing_routes((), held(), held()) == ""
    assert missing_routes((), both, held()) == "other is missing"
    assert missing_routes((), held(), held(status="disabled")) == "hello is disabled: unknown entry point"
    assert missing_routes((), held(status="disabled"), {}) == "hello-route-4000-aaaaaaaaaaaa is missing"
    assert missing_routes(("shop-route-1-cccccccccccc",), {}, held()) == "shop-route-1-cccccccccccc is missing"


def test_files_that_only_name_a_certificate_do_not_count_as_routes() -> None:
    names = ["00-certificate.yml", "00-default-certificate.yml", "b.yml", "a.toml"]

    assert route_files(names) == ("a.toml", "b.yml")


def host(*slots: Slot) -> ObservedHost:
    return ObservedHost("a", apps={TRAEFIK: ObservedApp(slots=slots)})


def running(port: str, *, enabled: bool, listening: bool = False) -> Slot:
    identity = wanted().identity("1-000000000000")
    return Slot(port, state="active", running=identity, enabled=enabled, listening=listening)


def test_the_live_one_counts_and_without_one_any_that_answers() -> None:
    live, candidate = running("8080", enabled=True), running("8081", enabled=False)

    assert trouble_of_traefik(host(live, candidate), {8080: "refused", 8081: {}}) == "refused"
    assert trouble_of_traefik(host(live, candidate), {8080: {}, 8081: "refused"}) is None
    assert trouble_of_traefik(host(), {8080: {}}) is None
    assert "Traefik does not listen there" in (trouble_of_traefik(host(live, candidate), {8081: {}}) or "")
    assert trouble_of_traefik(host(), {})
    assert trouble_of_traefik(host(), {8080: "refused", 8081: "refused too"}) == "refused"


@pytest.mark.parametrize("enabled", [False, True], ids=["a candidate", "both are enabled"])
def test_a_traefik_that_answers_does_not_speak_for_a_silent_one_beside_it(enabled: bool) -> None:
    """They share the ports that visitors come to: the silent one may still send them to a stopped instance."""
    answering, silent = running("8080", enabled=True, listening=True), running("8081", enabled=enabled, listening=True)

    assert (
        trouble_of_traefik(host(answering, silent), {8080: {}, 8081: "no answer within 5 s"}) == "no answer within 5 s"
    )
    assert trouble_of_traefik(host(answering, silent), {8080: {}, 8081: {}}) is None
