"""Traefik in the way of a rollout: it is silent, cannot be told, or does not apply the route."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, InstallRelease, StartInstance, Step
from reconciler.model.observed import AppliedRoute, HostFacts, ObservedApp, ObservedHost, RouteFile
from reconciler.model.target import TargetRoute
from tests.decide.test_rollout import APP, LIVE, ONE, ROLLING, TWO, WHERE
from tests.support.world import wanted

SILENT = Blocked(
    *WHERE,
    "Traefik does not answer: connection refused",
    "systemctl status 'traefik*' on the host",
    "1",
    retryable=True,
    kind="traefik",
)


def step_of(app: ObservedApp, target: Any = TWO, **host: Any) -> Step:
    return next_action(target, ObservedHost("a", apps={"hello": app}, **host))


@pytest.mark.parametrize(("up", "kind"), [(False, "traefik"), (True, "starting")])
@pytest.mark.parametrize(
    ("app", "target"),
    [(APP, TWO), (replace(APP, applied=None), ONE)],
    ids=["before a rollout", "before a confirmation"],
)
def test_a_silent_traefik_is_waited_for_if_it_may_be_starting(
    app: ObservedApp, target: Any, up: bool, kind: Any
) -> None:
    end = step_of(app, target, traefik="connection refused", facts=HostFacts(traefik_up=up))

    assert end == replace(SILENT, kind=kind)


def test_without_a_folder_for_routes_no_rollout_begins() -> None:
    facts = HostFacts(route_trouble="/etc/traefik/dynamic cannot be written")

    assert step_of(APP, facts=facts) == Blocked(
        *WHERE,
        "no route can be written: /etc/traefik/dynamic cannot be written",
        "let Traefik's file provider read a folder that the login can write to, and name it in paths.traefik; "
        "or delete route: from the app",
        "1",
        kind="traefik",
    )


@pytest.mark.parametrize(
    ("target", "app"),
    [
        (wanted("2", route=None, health_path=None), replace(APP, route=None, applied=None)),
        (ONE, APP.with_slot(replace(LIVE, state="failed", running=None))),
    ],
    ids=["a worker", "what serves in the same slot"],
)
def test_what_needs_no_route_is_started_without_traefik(target: Any, app: ObservedApp) -> None:
    step = step_of(app, target, traefik="connection refused", facts=HostFacts(route_trouble="no folder"))

    assert isinstance(step, StartInstance | InstallRelease)


@pytest.mark.parametrize(
    ("applied", "problem"),
    [
        (None, "not within 10 s"),
        (AppliedRoute("4000", "old"), "not within 10 s"),
        (AppliedRoute("4000", "route-4000", "the middleware is missing"), "the middleware is missing"),
    ],
)
def test_what_traefik_says_about_a_route_is_passed_on(applied: AppliedRoute | None, problem: str) -> None:
    app = replace(APP, applied=applied, unconfirmed="not within 10 s")

    assert step_of(app, ONE) == Blocked(
        *WHERE,
        f"Traefik has not applied the route: {problem}",
        "journalctl -u 'traefik*' on the host; one bad file in its directory freezes all of them",
        "1",
        kind="traefik",
    )


def test_a_route_to_an_entry_point_that_is_gone_is_not_waited_for() -> None:
    assert ONE.route
    target = replace(ONE, route=replace(ONE.route, entry_points=("web", "pg")))

    end = step_of(replace(APP, applied=None), target, entry_points=("web",))

    assert isinstance(end, Blocked)
    assert end.reason == "Traefik has no entry point pg; it has web"


def test_what_traefik_says_does_not_stop_what_runs_already() -> None:
    """The candidate runs: it is asked whether it is healthy, and only then is a route needed."""
    assert not isinstance(step_of(ROLLING, traefik="connection refused"), Blocked)


OURS, THEIRS = "repository-aaaa", "repository-bbbb"


def beside(owner: str, **parts: str) -> Step:
    """The step of an app without a route so far, on a host where another app of this owner has this route."""
    route = RouteFile("5000", "d", True, parts=tuple((key.replace("_", " "), value) for key, value in parts.items()))
    other = ObservedApp(owner=owner, route=route)
    seen = ObservedHost(
        "a", HostFacts(memory_available_kib=4_000_000), apps={"web": other}, entry_points=("websecure",)
    )
    wants = TargetRoute(
        ("x.org",), {"4000": "d", "4001": "e"}, (("domain x.org", ""), ("entry point", "s")), ("websecure",)
    )
    return next_action(replace(wanted("1"), route=wants, owner=OURS), seen)


def test_a_name_that_an_app_of_another_desired_state_serves_is_refused() -> None:
    assert beside(THEIRS, **{"domain x.org": "", "entry_point": "s"}) == Blocked(
        *WHERE,
        "x.org is already served by web on this host, an app of another desired state",
        "use another name here, or delete it from the route of web there",
        kind="foreign",
    )


@pytest.mark.parametrize(
    ("owner", "parts"),
    [
        (OURS, {"domain x.org": "", "entry_point": "s"}),
        (THEIRS, {"domain y.org": "", "entry_point": "s"}),
        (THEIRS, {"domain x.org": "", "entry_point": "t"}),
        (THEIRS, {"domain x.org": "", "entry_point": "s", "path": "/api"}),
    ],
    ids=["an app that it replaces", "another name", "another entry point", "another path"],
)
def test_other_routes_of_a_host_are_in_nobodys_way(owner: str, parts: dict[str, str]) -> None:
    assert isinstance(beside(owner, **parts), InstallRelease)


def test_an_app_keeps_a_name_that_another_desired_state_takes_too() -> None:
    parts = (("domain x.org", ""), ("entry point", "s"))
    other = ObservedApp(owner=THEIRS, route=RouteFile("5000", "d", True, parts=parts))
    assert APP.route is not None
    app = replace(APP, owner=OURS, route=replace(APP.route, parts=parts))
    seen = ObservedHost("a", HostFacts(memory_available_kib=4_000_000), apps={"hello": app, "web": other})
    assert TWO.route is not None

    step = next_action(replace(TWO, route=replace(TWO.route, parts=parts), owner=OURS), seen)

    assert isinstance(step, StartInstance)


TAKEN = RouteFile("5000", "d", True, parts=(("domain example.com", ""),))
NAMED = replace(TWO, owner=OURS, route=TargetRoute(("example.com",), {"4000": "a", "4001": "b"}, TAKEN.parts))
WEB = ObservedApp(owner=THEIRS, route=TAKEN)


def beside_all(target: Any, own: ObservedApp, **others: ObservedApp) -> Step:
    return next_action(target, ObservedHost("a", apps={**others, "hello": own}))


def test_whichever_app_has_the_name_is_found_and_of_several_always_the_same() -> None:
    """Neither an app without a route nor one of ours ends the search."""
    worker, ours = replace(WEB, route=None), replace(WEB, owner=OURS)

    end = beside_all(NAMED, ObservedApp(), zed=WEB, web=WEB, blog=ours, admin=worker)

    assert isinstance(end, Blocked)
    assert end.reason == "example.com is already served by web on this host, an app of another desired state"


def test_a_worker_takes_nobodys_name() -> None:
    assert isinstance(beside_all(replace(NAMED, route=None), ObservedApp(), web=WEB), InstallRelease)


def test_a_route_that_was_deleted_by_hand_takes_no_name_anew() -> None:
    """Its names were ours before, although the host does not show them any more."""
    deleted = replace(APP, owner=OURS, route=None, route_deleted=True)

    assert isinstance(beside_all(NAMED, deleted, web=WEB), StartInstance)
    assert isinstance(beside_all(NAMED, replace(deleted, route_deleted=False), web=WEB), Blocked)
