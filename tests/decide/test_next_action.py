"""The answer about one app on one host: hosts and apps that could not be read, and how an instance leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import Action, Blocked, ConfirmRoute, Drain, Step, StopInstance
from reconciler.model.identity import Identity
from reconciler.model.observed import (
    AppliedRoute,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
    Unfitting,
    Unreachable,
)
from reconciler.model.target import Target
from tests.support.world import wanted

OLD, NEW = Identity("1-000000000000", "e1", "u1"), Identity("2-000000000000", "e1", "u1")
TARGET = wanted("2")
WORKER = wanted("2", route=None, health_path=None)
WHERE = "a", "hello"
NEW_SLOT = Slot("4001", NEW, state="active", running=NEW, enabled=True, listening=True, healthy=True, health="200")
OLD_SLOT = replace(NEW_SLOT, name="4000", prepared=OLD, running=OLD)
BOTH = ObservedApp(
    (OLD_SLOT, NEW_SLOT),
    releases=(OLD.release, NEW.release),
    unit="u1",
    route=RouteFile("4001", "route-4001", True),
    applied=AppliedRoute("4001", "route-4001"),
)


def step_of(app: ObservedApp, target: Target = TARGET) -> Step:
    return next_action(target, ObservedHost("a", apps={"hello": app}))


def test_of_a_host_that_was_not_seen_nothing_is_decided_and_its_own_words_are_passed_on() -> None:
    lost = Unreachable("a", "its host key has changed", "ssh-keygen -R a", retryable=False, kind="host_key")

    assert next_action(TARGET, lost) == Blocked(
        *WHERE, "its host key has changed", "ssh-keygen -R a", retryable=False, kind="host_key"
    )


def test_a_host_that_may_be_back_by_itself_is_tried_again() -> None:
    assert next_action(TARGET, Unreachable("a", "no route to host")) == Blocked(
        *WHERE, "no route to host", retryable=True, kind="unreachable"
    )


def test_what_cannot_go_on_anyway_says_so_rather_than_what_a_guard_would_refuse() -> None:
    end = step_of(replace(BOTH, foreign=("/srv/hello",), suspended="by ann: freeze"))

    assert isinstance(end, Blocked)
    assert end.kind == "foreign"


@pytest.mark.parametrize(
    ("own_words", "next_step"),
    [
        (None, "look at hello on host a; it stays unchanged until it is fixed"),
        ("delete the file", "delete the file"),
    ],
)
def test_an_app_that_cannot_be_read_is_left_as_it_is(own_words: str | None, next_step: str) -> None:
    app = ObservedApp(unreadable=Unfitting("its history is too long", own_words))

    assert step_of(app) == Blocked(
        *WHERE, "it is left unchanged: its history is too long", next_step, kind="unreadable"
    )


DRAIN = Drain(*WHERE, "10 s at most for open requests", "4000")
STOP = StopInstance(*WHERE, "replaced by slot 4001", "4000")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, DRAIN, id="it may still have requests"),
        pytest.param({"drained": True}, STOP, id="its requests have ended"),
        pytest.param({"enabled": False, "on_trial": True}, STOP, id="it never had visitors"),
        pytest.param({"enabled": False}, DRAIN, id="somebody disabled it while it served"),
        pytest.param({"state": "failed", "running": None}, STOP, id="it does not run"),
        pytest.param({"state": "activating"}, DRAIN, id="it is being restarted"),
        pytest.param({"port_lost": True}, STOP, id="another program has its port"),
        pytest.param({"state": "inactive", "running": None, "prepared": None}, STOP, id="it is only enabled"),
    ],
)
def test_what_was_replaced_is_drained_if_it_may_have_visitors_then_stopped(
    changes: dict[str, object], expected: Action
) -> None:
    assert step_of(BOTH.with_slot(replace(OLD_SLOT, **changes))) == expected  # type: ignore[arg-type]


def test_a_worker_that_was_replaced_is_stopped_at_once() -> None:
    assert step_of(replace(BOTH, route=None, applied=None), WORKER) == STOP


FAILED = replace(
    BOTH.with_slot(replace(NEW_SLOT, healthy=False)),
    route=RouteFile("4000", "route-4000", True),
    quarantined=(Quarantine(NEW, "it exited", 1),),
)


@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        ("4001", ConfirmRoute(*WHERE, "Traefik must have applied the route", "4000", "route-4000")),
        ("4000", replace(DRAIN, slot="4001")),
        (None, replace(DRAIN, slot="4001")),  # Traefik does not say
    ],
)
def test_what_failed_after_its_cutover_is_drained_once_traefik_sends_nothing_there(
    applied: str | None, expected: Action
) -> None:
    held = AppliedRoute(applied, f"route-{applied}") if applied else None

    assert step_of(replace(FAILED, applied=held)) == expected


def test_an_instance_that_only_traefik_still_knows_is_not_stopped_for_a_stranger_on_its_port() -> None:
    """Its route file is gone and it is not enabled, but visitors are sent to it."""
    alone = replace(OLD_SLOT, prepared=NEW, running=NEW, enabled=False, stranger="nginx", drained=True)
    app = replace(BOTH, slots=(alone,), route=None, applied=AppliedRoute("4000", "route-4000"))

    end = step_of(app, wanted("2", slots=("4000",)))

    assert isinstance(end, Blocked)
    assert end.kind == "still_routed"


def test_a_leftover_in_the_way_of_a_rollout_is_drift_that_is_stopped_first() -> None:
    """A candidate of a third version, in the slot that the desired one needs."""
    other = Identity("3-000000000000", "e1", "u1")
    leftover = replace(NEW_SLOT, prepared=other, running=other, enabled=False, on_trial=True)
    app = replace(BOTH.with_slot(leftover), route=RouteFile("4000", "x", True), applied=AppliedRoute("4000", "x"))

    assert step_of(app) == StopInstance(*WHERE, "left over from another rollout", "4001", drift="second_slot")
