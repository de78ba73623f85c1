"""The words of a plan: what differs, what it costs, and the way round what is in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.next_action import next_action
from reconciler.decide.reasons import difference, named_places, route_difference, way_round_foreign, way_round_taken
from reconciler.model.action import StartInstance
from reconciler.model.identity import Identity
from reconciler.model.observed import ObservedApp, ObservedHost, RouteFile, Slot
from reconciler.model.target import TargetRoute
from tests.support.world import wanted

BEFORE = Identity("1-aaaaaaaaaaaa", "e1", "u1")
TARGET = wanted("1", env_keys=(("ADDED", "1"), ("ALSO", "1"), ("KEPT", "1"), ("OTHER", "2")))
KEYS = (("GONE", "1"), ("KEPT", "1"), ("OTHER", "1"), ("WENT", "1"))
WANTED = TARGET.env_keys
APP = ObservedApp(
    (
        Slot("4000", BEFORE, KEYS),
        Slot("4001", replace(BEFORE, env="e0"), (("NOISE", "1"),)),
        Slot("4002", replace(BEFORE, env="e3"), (*WANTED, ("RECONCILE_START", "1"))),
        Slot(
            "4003",
            replace(BEFORE, env="e4"),
            (*(("KEPT", "0") if key == "KEPT" else (key, value) for key, value in WANTED), ("RECONCILE_START", "1")),
        ),
    )
)
ENV_CHANGES = "env OTHER changed, ADDED added, ALSO added, GONE removed, WENT removed"


@pytest.mark.parametrize(
    ("before", "changes", "said"),
    [
        (None, {}, "first start"),
        (BEFORE, {}, "not running"),
        (BEFORE, {"release": "2-bbbbbbbbbbbb"}, "version 1 → 2"),
        (BEFORE, {"release": "1-bbbbbbbbbbbb"}, "version 1 has a different artifact"),
        (BEFORE, {"env": "e2"}, ENV_CHANGES),
        (replace(BEFORE, env="e9"), {"env": "e2"}, "env changed"),  # no slot shows which variables it had
        (BEFORE, {"unit": "u2"}, "unit settings changed"),
        (replace(BEFORE, env="e3"), {"env": "e2"}, "start changed"),
        (replace(BEFORE, env="e4"), {"env": "e2"}, "start changed, env KEPT changed"),
        (
            BEFORE,
            {"release": "2-bbbbbbbbbbbb", "env": "e2", "unit": "u2"},
            f"version 1 → 2, {ENV_CHANGES}, unit settings changed",
        ),
    ],
)
def test_a_start_names_what_differs_from_what_serves(
    before: Identity | None, changes: dict[str, str], said: str
) -> None:
    assert difference(before, replace(before or BEFORE, **changes), TARGET, APP) == said


@pytest.mark.parametrize("keys", [(), TARGET.env_keys], ids=["none are known", "all are equal"])
def test_an_env_that_differs_in_nothing_that_can_be_named_has_changed(keys: tuple[tuple[str, str], ...]) -> None:
    """Such as the start command, which belongs to the env."""
    app = ObservedApp((Slot("4000", BEFORE, keys),))

    assert difference(BEFORE, replace(BEFORE, env="e2"), TARGET, app) == "env changed"


ROUTE = TargetRoute((), {}, (*((f"new {i}", "1") for i in range(6)), *((f"part {i}", "2") for i in range(6))))
PARTS = (*((f"old {i}", "1") for i in range(6)), *((f"part {i}", "1") for i in range(6)))
FOUND = RouteFile("4000", "old", True, parts=PARTS)
CHANGES = [
    f"{what} {i} {how}" for what, how in (("part", "changed"), ("new", "added"), ("old", "removed")) for i in range(6)
]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (ObservedApp(), "the route is new"),
        (ObservedApp(route_deleted=True), "the route file was deleted on the host"),
        (ObservedApp(route=replace(FOUND, intact=False)), "the route file was changed on the host"),
        (
            ObservedApp(route=replace(FOUND, htpasswd_intact=False)),
            "the route's password file was changed on the host",
        ),
        (
            ObservedApp(route=FOUND),
            ", ".join(CHANGES),
        ),
        # The digest is the desired one, so the parts cannot be what differs.
        (ObservedApp(route=replace(FOUND, digest="new")), "this version of reconcile writes the route differently"),
        (ObservedApp(route=replace(FOUND, parts=())), "this version of reconcile writes the route differently"),
    ],
)
def test_a_cutover_names_what_differs_from_the_route_on_the_host(app: ObservedApp, said: str) -> None:
    assert route_difference(app, ROUTE, "new") == said


PROXY = wanted("2", app="traefik", proxy=True, route=None)
NEW, OLD = Identity("2-000000000000", "e1", "u1"), Identity("1-000000000000", "e1", "u1")
SERVES = Slot("4000", OLD, state="active", running=OLD, enabled=True)
BOTH_SERVE = "; both serve until the new one has every route: new connections may get a 404 for a few milliseconds"


@pytest.mark.parametrize(
    ("slots", "by_hand", "said"),
    [
        ((), None, "first start"),
        ((), "traefik.service", "first start; takes over from traefik.service: no service for about a second"),
        ((SERVES,), None, f"version 1 → 2{BOTH_SERVE}"),
        ((replace(SERVES, state="failed", running=None),), None, "version 1 → 2"),
        ((replace(SERVES, prepared=NEW, state="failed", running=None),), None, "failed"),
    ],
)
def test_a_start_of_traefik_says_what_it_costs_the_visitors(
    slots: tuple[Slot, ...], by_hand: str | None, said: str
) -> None:
    app = ObservedApp(slots, releases=(NEW.release,), unit="u1", by_hand=by_hand)

    step = next_action(PROXY, ObservedHost("a", apps={"traefik": app}))

    assert isinstance(step, StartInstance)
    assert (step.reason, step.takes_over) == (said, by_hand)


def test_one_slot_of_traefik_has_no_moment_in_which_both_serve() -> None:
    app = ObservedApp((SERVES,), releases=(NEW.release,), unit="u1")

    step = next_action(replace(PROXY, slots=("4000",)), ObservedHost("a", apps={"traefik": app}))

    assert isinstance(step, StartInstance)
    assert step.reason == "version 1 → 2; stop-first, only one slot: no service until it is healthy"


def test_there_is_a_way_round_what_is_not_ours() -> None:
    assert way_round_foreign(wanted("1")) == "move it away, or choose another app name"
    assert way_round_foreign(PROXY) == (
        "reconcile adopt traefik takes it over, with no service for about a second; or delete traefik.version"
    )
    assert way_round_taken(wanted("1")) == (
        "move it away, or choose another app name; or, as root, reconcile adopt hello gives it to the app and moves "
        "/var/lib/hello to /var/lib/private, where no other user can reach it"
    )
    places = named_places("shop", ("/var/lib/shop", "/etc/passwd", "/etc/group"))
    assert places == "/var/lib/shop, a user shop, a group shop"
