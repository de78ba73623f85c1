"""Guards: which action each of them refuses, and what people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.guards import belongs_to_another, refusal
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    PruneReleases,
    RejectRelease,
    RepairFiles,
    RetryCertificates,
    StartInstance,
    StopInstance,
    WaitCertified,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, ObservedApp, ObservedHost, RouteFile, Slot
from reconciler.model.target import Target
from tests.support.world import wanted

OLD, NEW = Identity("1-000000000000", "e1", "u1"), Identity("2-000000000000", "e1", "u1")
LIVE = Slot("4000", OLD, state="active", running=OLD, enabled=True, healthy=True)
APP = ObservedApp((LIVE,), releases=(OLD.release,), owner="repository-a", route=RouteFile("4000", "x", True))
MINE = wanted("1", owner="repository-a")
WHERE = "a", "hello"
START: AnyAction = StartInstance(*WHERE, "version 1 → 2", "4001", NEW)
STOP, STOP_OTHER = StopInstance(*WHERE, "replaced", "4000"), StopInstance(*WHERE, "replaced", "4001")
REJECT: AnyAction = RejectRelease(*WHERE, "it exited", "4000", NEW, "it exited")


def refused(
    step: AnyAction, app: ObservedApp = APP, target: Target = MINE, locked: str | None = None
) -> Blocked | None:
    return refusal(step, target, ObservedHost("a", locked=locked, apps={"hello": app}))


def test_an_action_that_no_guard_is_against_is_not_refused() -> None:
    assert refused(START) is None


def test_each_guard_says_what_would_be_done_why_not_what_serves_and_the_way_through() -> None:
    expected = {
        "foreign": Blocked(
            *WHERE,
            "it belongs to another desired state (repository-b); it would start: version 1 → 2",
            "remove it there first, or take it over: reconcile adopt hello",
            "1",
            kind="foreign",
        ),
        "step_back": Blocked(
            *WHERE,
            "git is behind; it would start: version 1 → 2",
            "git pull; to go back make a new commit (git revert), or pass --allow-step-back",
            "1",
            kind="step_back",
        ),
        "suspended": Blocked(
            *WHERE,
            "suspended by ann: freeze; it would start: version 1 → 2",
            "reconcile resume hello",
            "1",
            kind="suspended",
        ),
        "drift": Blocked(
            *WHERE,
            "drift, only reported: would start slot 4001, 2, version 1 → 2",
            "set drift: correct to let reconcile put it back",
            "1",
            kind="drift",
        ),
        "locked": Blocked(
            *WHERE, "bob@ci:7 is changing this host", "--wait-lock waits for it", "1", retryable=True, kind="locked"
        ),
    }

    found = {
        "foreign": refused(START, replace(APP, owner="repository-b")),
        "step_back": refused(START, target=replace(MINE, behind="git is behind")),
        "suspended": refused(START, replace(APP, suspended="by ann: freeze")),
        "drift": refused(START, target=replace(MINE, only_report_drift=True)),
        "locked": refused(START, locked="bob@ci:7 is changing this host"),
    }

    assert found == expected


# A routed instance is never stopped, even if a decision is wrong.


@pytest.mark.parametrize(
    ("step", "route", "applied", "is_refused"),
    [
        (STOP, "4000", None, True),
        (STOP, None, "4000", True),  # Traefik still sends visitors there
        (STOP, "4001", "4000", True),
        (STOP, "4000", "4001", True),
        (STOP, "4001", "4001", False),
        (STOP, None, None, False),
        (STOP_OTHER, "4000", "4000", False),
        (REJECT, "4000", "4000", True),
        (REJECT, "4001", "4001", False),
        (START, "4001", "4001", False),
    ],
)
def test_what_visitors_reach_is_not_stopped(
    step: AnyAction, route: str | None, applied: str | None, is_refused: bool
) -> None:
    app = replace(
        APP,
        route=RouteFile(route, "x", True) if route else None,
        applied=AppliedRoute(applied, "x") if applied else None,
    )
    way = "reconcile status shows the route; correct it in the desired state"
    reason = f"slot 4000 is still routed and is not stopped ({step.reason})"
    expected = Blocked(*WHERE, reason, way, kind="still_routed") if is_refused else None

    assert refused(step, app) == expected


def test_a_candidate_in_the_slot_of_what_served_may_be_rejected_although_it_is_routed() -> None:
    """What served comes back in the same slot. To stop the slot would leave visitors with nothing."""
    candidate = APP.with_slot(replace(LIVE, prepared=NEW, running=NEW, on_trial=True, previous=OLD))

    assert refused(REJECT, candidate) is None
    assert refused(STOP, candidate) is not None


# Drift, only reported.

REPAIR: AnyAction = RepairFiles(*WHERE, "changed", "4000", OLD)
REPORTING = replace(MINE, only_report_drift=True)


@pytest.mark.parametrize(
    "step",
    [
        ConfirmRoute(*WHERE, "", "4000", "x"),
        PruneReleases(*WHERE, "", ("0-x",)),
        RetryCertificates(*WHERE, "", "4000", "i", 1),
        WaitCertified(*WHERE, "", ("example.com",)),
    ],
    ids=lambda step: step.verb,
)
def test_what_corrects_nothing_is_done_where_drift_is_only_reported(step: AnyAction) -> None:
    assert refused(step, target=REPORTING) is None


@pytest.mark.parametrize(
    ("app", "target", "is_refused"),
    [
        (APP, REPORTING, True),
        (APP, MINE, False),
        (APP, replace(REPORTING, gone=True), False),  # a removal
        (replace(APP, slots=(), route=None), REPORTING, False),  # a first rollout
        (APP, replace(REPORTING, release=NEW.release), False),  # a rollout
        (APP.with_slot(replace(LIVE, previous=NEW)), REPORTING, False),  # a rollout in the same slot
        (APP.with_slot(Slot("4001", NEW, state="active", running=NEW)), REPORTING, False),  # it is not finished
        (APP.with_slot(Slot("4001")), REPORTING, True),
    ],
)
def test_drift_is_a_difference_while_no_rollout_is_under_way(
    app: ObservedApp, target: Target, is_refused: bool
) -> None:
    end = refused(REPAIR, app, target)

    assert (end is not None and end.kind == "drift") is is_refused


@pytest.mark.parametrize(
    ("owner", "ours"), [("team-a", "-"), ("-", "team-a"), ("folder-a", "folder-b"), ("team-a", "repository-a")]
)
def test_whose_app_it_is_does_not_matter_where_that_is_not_known(owner: str, ours: str) -> None:
    assert not belongs_to_another(owner, ours)
