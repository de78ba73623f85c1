"""The removal of an app: its route first, then its instances, its files last, and what can hold that up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, ConfirmRoute, Converged, Drain, RemoveApp, RemoveRoute, Step, StopInstance
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, ObservedApp, ObservedHost, RouteFile, Slot
from reconciler.model.target import Target

WHERE = "a", "hello"
WHY = "no longer in the desired state"
GONE = Target.removal(*WHERE)
RUNS = Identity("1-000000000000", "e1", "u1")
SLOT = Slot("4000", RUNS, state="active", running=RUNS, enabled=True)
APP = ObservedApp((SLOT,), releases=(RUNS.release,), unit="u1")
APPLIED = AppliedRoute("4000", "x")
STOP, DRAIN = StopInstance(*WHERE, WHY, "4000"), Drain(*WHERE, "10 s at most for open requests", "4000")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (replace(APP, route=RouteFile("4000", "x", True), applied=APPLIED), RemoveRoute(*WHERE, WHY)),
        (replace(APP, applied=APPLIED), ConfirmRoute(*WHERE, "Traefik must have dropped the route", "", "")),
        (APP.with_slot(replace(SLOT, open_connections=2)), DRAIN),
        (APP.with_slot(replace(SLOT, open_connections=2, drained=True)), STOP),
        (APP.with_slot(replace(SLOT, open_connections=2, state="failed", running=None)), STOP),
        (APP, STOP),
        (APP.with_slot(Slot("4000")), RemoveApp(*WHERE, WHY)),
        (ObservedApp(), Converged(*WHERE, "", "")),
    ],
    ids=["route", "confirm", "drain", "drained", "failed", "stop", "files", "nothing"],
)
def test_a_removed_app_leaves_step_by_step(app: ObservedApp, expected: Step) -> None:
    assert next_action(GONE, ObservedHost("a", apps={"hello": app})) == expected


def test_of_an_app_that_was_never_there_nothing_is_left() -> None:
    assert next_action(GONE, ObservedHost("a")) == Converged(*WHERE, "", "")


@pytest.mark.parametrize(("too_many", "kind"), [(True, "prune_guard"), (False, "waiting")])
def test_a_removal_that_has_to_wait_says_for_what(too_many: bool, kind: str) -> None:
    waits = Target.removal(*WHERE, "hello2 is not converged on a", too_many=too_many)

    end = next_action(waits, ObservedHost("a", apps={"hello": APP}))

    assert end == Blocked(*WHERE, "not removed yet: hello2 is not converged on a", kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("traefik", "unconfirmed", "problem", "retryable"),
    [
        ("connection refused", None, "connection refused", True),
        (None, "not within 10 s", "not within 10 s", False),
        ("connection refused", "not within 10 s", "connection refused", True),
    ],
)
def test_what_traefik_may_still_send_visitors_to_is_not_stopped(
    traefik: str | None, unconfirmed: str | None, problem: str, retryable: bool
) -> None:
    app = replace(APP, applied=APPLIED, unconfirmed=unconfirmed)

    assert next_action(GONE, ObservedHost("a", traefik=traefik, apps={"hello": app})) == Blocked(
        *WHERE,
        f"Traefik still holds its route: {problem}",
        "systemctl status 'traefik*' on the host",
        retryable=retryable,
        kind="traefik",
    )
