"""The next step of one app on one host, from what one look shows. The parts are those of `decide/rollout.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    PruneReleases,
    RejectRelease,
    RemoveRoute,
    RepairFiles,
    Soak,
    StartAgain,
    StartInstance,
    Step,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, HostFacts, ObservedApp, ObservedHost, Quarantine, RouteFile, Slot
from reconciler.model.target import Target, TargetRoute
from tests.support.world import wanted

WHERE = "a", "hello"
R1, R2 = "1-000000000000", "2-000000000000"
V1, V2 = Identity(R1, "e1", "u1"), Identity(R2, "e1", "u1")
ONE, TWO = wanted("1"), wanted("2")
WORKER = wanted("1", route=None, health_path=None)
DONE = Converged(*WHERE, "1", "4000")

LIVE = Slot(
    "4000", V1, state="active", running=V1, invocation="i1", enabled=True, listening=True, healthy=True, health="200"
)
TRIAL = Slot("4001", V2, state="active", running=V2, invocation="i2", on_trial=True)
READY = replace(TRIAL, listening=True, healthy=True, healthy_for_seconds=2.0)
ROUTE, APPLIED = RouteFile("4000", "route-4000", True, age_seconds=900), AppliedRoute("4000", "route-4000")
APP = ObservedApp((LIVE,), releases=(R2, R1), unit="u1", route=ROUTE, applied=APPLIED)
ROLLING = APP.with_slot(TRIAL)
AT_WORK = replace(APP, route=None, applied=None)  # a worker that runs


def step_of(app: ObservedApp, target: Target = ONE, **host: Any) -> Step:
    return next_action(target, ObservedHost("a", apps={"hello": app}, **host))


def test_what_is_as_desired_is_converged() -> None:
    assert step_of(APP) == DONE
    assert step_of(AT_WORK, WORKER) == DONE


# What is not ours, and what is not there.


def test_files_that_are_not_ours_are_left_alone() -> None:
    assert step_of(replace(APP, foreign=("/srv/hello", "/etc/reconcile/hello"))) == Blocked(
        *WHERE,
        "/srv/hello, /etc/reconcile/hello was not written by reconcile and is left alone",
        "move it away, or choose another app name",
        kind="foreign",
    )


def test_a_folder_of_the_app_s_name_is_not_given_to_it() -> None:
    end = step_of(ObservedApp(taken=("/var/lib/hello",)))

    assert isinstance(end, Blocked) and end.next_step and end.next_step.startswith("move it away")
    reason = "/var/lib/hello: already there, but not created by reconcile; nothing was changed"
    assert replace(end, next_step=None) == Blocked(*WHERE, reason, kind="foreign")


def test_without_a_release_of_the_version_nothing_is_begun() -> None:
    unknown = replace(ONE, version="3", release=None)
    explained = replace(
        unknown, missing="it was deleted", missing_next="upload it", missing_kind="secret", comes_later=True
    )

    assert step_of(APP, unknown) == Blocked(
        *WHERE,
        "there is no artifact of version 3, and no release of it on the host",
        "build the artifact, or correct artifact.source",
        "1",
        kind="artifact",
    )
    assert step_of(APP, explained) == Blocked(*WHERE, "it was deleted", "upload it", "1", retryable=True, kind="secret")


# Ports that were lost, and what a reboot brings back.


def test_a_route_leaves_the_port_that_another_program_has_taken_but_a_worker_has_no_visitors_to_lose() -> None:
    lost = replace(APP.with_slot(replace(LIVE, port_lost=True, stranger="nginx")))

    assert step_of(lost) == RemoveRoute(*WHERE, "port 4000 is taken by nginx")
    assert not isinstance(step_of(lost, WORKER), RemoveRoute)


def test_a_routed_instance_is_enabled_for_boot_before_anything_else() -> None:
    disabled = APP.with_slot(replace(LIVE, enabled=False))

    assert step_of(disabled, TWO) == EnableInstance(*WHERE, "not enabled for boot", "4000", "i1", drift="enabled")


@pytest.mark.parametrize(
    ("app", "target", "expected"),
    [
        (APP.with_slot(replace(LIVE, enabled=False, state="inactive", running=None)), ONE, StartInstance),
        (replace(APP.with_slot(replace(LIVE, enabled=False)), applied=None), WORKER, WaitHealthy),  # a former route
        (replace(APP.with_slot(replace(LIVE, enabled=False)), route=replace(ROUTE, slot="")), ONE, WaitHealthy),
        (replace(APP, slots=(Slot("4000"),), route=replace(ROUTE, slot=""), applied=None), ONE, StartInstance),
    ],
    ids=["it does not run", "it is a worker", "the route file names no slot", "nothing is there but such a file"],
)
def test_only_a_running_instance_that_its_route_names_is_enabled_at_once(
    app: ObservedApp, target: Target, expected: type[Step]
) -> None:
    assert isinstance(step_of(app, target), expected)


@pytest.mark.parametrize("enabled", [True, False])
def test_behind_a_route_file_that_names_no_slot_the_instance_enabled_for_boot_is_the_accepted_one(
    enabled: bool,
) -> None:
    """So its route is written again at once; any other instance has to prove itself first."""
    app = replace(APP.with_slot(replace(LIVE, enabled=enabled)), route=RouteFile("", "", False))
    cutover = Cutover(*WHERE, "the route file was changed on the host", "4000", "i1", drift="route")
    wait = WaitHealthy(*WHERE, "/ping healthy for 2 s, within 60 s", "4000")

    assert step_of(app) == (cutover if enabled else wait)


# Versions that failed here.

FAILED = Quarantine(V2, "it exited 2 times", 1)


def quarantined(app: ObservedApp, *entries: Quarantine) -> ObservedApp:
    return replace(app, quarantined=entries or (FAILED,))


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        pytest.param(
            ROLLING, StopInstance(*WHERE, "its release failed here", "4001"), id="its candidate is stopped"
        ),
        pytest.param(
            replace(ObservedApp((TRIAL,), (R2,), unit="u1")),
            StopInstance(*WHERE, "its release failed here", "4001"),
            id="also where nothing served before",
        ),
        pytest.param(
            APP.with_slot(replace(LIVE, prepared=V2, running=V2, on_trial=True, previous=V1)),
            RejectRelease(*WHERE, "it exited 2 times", "4000", V2, "it exited 2 times"),
            id="what it replaced is restored",
        ),
        pytest.param(
            APP.with_slot(replace(LIVE, state="inactive", running=None)),
            StartAgain(*WHERE, "1 served before", "4000"),
            id="what served before is started",
        ),
        pytest.param(
            replace(APP, slots=(replace(LIVE, prepared=V2, running=V2),)),
            Converged(*WHERE, "2", "4000"),
            id="if it serves all the same it goes on",
        ),
    ],
)  # fmt: skip
def test_a_version_that_failed_gives_way_to_what_served_before(app: ObservedApp, expected: Step) -> None:
    assert step_of(quarantined(app), TWO) == expected


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("it exited 2 times", "failed here: it exited 2 times"),
        ("rolled back, since it failed on host b", "was rolled back, since it failed on host b"),
    ],
)
def test_a_version_that_failed_is_not_tried_again_and_the_end_of_its_log_is_shown(reason: str, said: str) -> None:
    spare = replace(LIVE, name="4001", state="inactive", running=None, prepared=None, enabled=False, log_tail=("boom",))
    app = quarantined(APP.with_slot(spare), Quarantine(V2, reason, 1))

    assert step_of(app, TWO) == Blocked(
        *WHERE,
        f"version 2 {said}",
        "reconcile logs hello; then commit another version or env (these digests are not tried again)",
        "1",
        ("boom",),
        kind="quarantined",
    )


@pytest.mark.parametrize(
    "slot",
    [
        pytest.param(replace(LIVE, state="failed", running=None), id="systemd has given it up"),
        pytest.param(
            replace(LIVE, prepared=V2, state="activating", running=None, port_lost=True), id="it is the one that failed"
        ),
    ],
)
def test_what_would_only_fail_again_is_not_started_again(slot: Slot) -> None:
    end = step_of(quarantined(replace(APP, slots=(slot,), route=None)), TWO)

    assert isinstance(end, Blocked)
    assert end.kind == "quarantined"


@pytest.mark.parametrize(
    ("tried", "wanted_attempt", "blocked"), [("", "a1", True), ("a1", "a1", True), ("a1", "a2", False)]
)
def test_another_health_check_or_migration_allows_another_try(tried: str, wanted_attempt: str, blocked: bool) -> None:
    app = quarantined(APP, replace(FAILED, attempt=tried))

    assert isinstance(step_of(app, replace(TWO, attempt=wanted_attempt)), Blocked) is blocked


# Files that differ from what runs.


@pytest.mark.parametrize(
    ("changes", "app_changes", "why", "drift"),
    [
        ({"on_trial": True}, {}, "its files were lost; it would not start after a reboot", "env"),
        ({"prepared": V2}, {}, "its env file or link was changed on the host", "env"),
        ({"files_intact": False}, {}, "its env file or link was changed on the host", "env"),
        ({}, {"unit": "u9"}, "the unit file was changed on the host", "unit"),
        ({}, {"unit_intact": False}, "the unit file was changed on the host", "unit"),
    ],
)
def test_files_that_would_not_bring_back_what_runs_are_repaired(
    changes: dict[str, Any], app_changes: dict[str, Any], why: str, drift: Any
) -> None:
    app = replace(APP.with_slot(replace(LIVE, **changes)), **app_changes)

    assert step_of(app) == RepairFiles(*WHERE, why, "4000", V1, drift=drift)


def test_the_files_of_a_candidate_are_not_repaired_before_it_is_accepted() -> None:
    assert isinstance(step_of(ROLLING, TWO), WaitHealthy)


# Healthy, and for long enough.


@pytest.mark.parametrize(
    ("seconds", "is_accepted"), [(None, False), (0.0, False), (1.9, False), (2.0, True), (9.0, True)]
)
def test_a_candidate_is_accepted_once_it_was_healthy_for_long_enough(seconds: float | None, is_accepted: bool) -> None:
    app = APP.with_slot(replace(READY, healthy_for_seconds=seconds))
    cutover = Cutover(*WHERE, "healthy", "4001", "i2", "4000")

    assert step_of(app, TWO) == (
        cutover if is_accepted else WaitHealthy(*WHERE, "/ping healthy for 2 s, within 60 s", "4001")
    )


@pytest.mark.parametrize(
    ("changes", "target", "expected"),
    [
        ({"healthy": False, "healthy_for_seconds": 2.0}, ONE, DONE),  # the look was just before it became healthy
        ({"healthy": None}, WORKER, DONE),  # it runs, and that is enough
        (
            {"healthy": None, "state": "activating", "health": ""},
            WORKER,
            WaitHealthy(
                *WHERE, "running for 2 s, within 60 s", "4000"
            ),
        ),
        ({"healthy": False, "health": "503"}, ONE, WaitHealthy(*WHERE, "health path answers 503", "4000")),
        (
            {"healthy": False, "health": "503", "restarts": 3},
            ONE,
            WaitHealthy(*WHERE, "health path answers 503", "4000"),
        ),
        ({"healthy": None, "health": ""}, ONE, WaitHealthy(*WHERE, "/ping healthy for 2 s, within 60 s", "4000")),
    ],
)  # fmt: skip
def test_what_serves_is_asked_again_only_if_something_is_wrong_with_it(
    changes: dict[str, Any], target: Target, expected: Step
) -> None:
    app = (APP if target.route else AT_WORK).with_slot(replace(LIVE, **changes))

    assert step_of(app, target) == expected


@pytest.mark.parametrize(
    ("app", "target"),
    [(APP, ONE), (AT_WORK, WORKER)],
)
def test_what_serves_and_is_not_healthy_any_more_is_reported_and_left_running(app: ObservedApp, target: Target) -> None:
    ill = app.with_slot(replace(LIVE, healthy=False, failure="/ping answered 503", log_tail=("no database",)))

    assert step_of(ill, target) == Blocked(
        *WHERE,
        "slot 4000 (1): it serves but is not healthy: /ping answered 503",
        "reconcile logs hello; it is converged again as soon as it is healthy",
        "1",
        ("no database",),
        retryable=True,
        kind="unhealthy",
    )


def test_a_candidate_that_fails_is_rejected_although_a_soak_is_asked_for() -> None:
    """There is nothing to go back from: it never had the route."""
    app = APP.with_slot(replace(TRIAL, failure="it exited"))

    assert step_of(app, replace(TWO, soak_seconds=60.0)) == RejectRelease(*WHERE, "it exited", "4001", V2, "it exited")


def test_the_unit_set_up_by_hand_is_started_again_if_its_successor_fails() -> None:
    app = ObservedApp((replace(TRIAL, failure="it exited"),), (R2,), unit="u1", by_hand="traefik.service")
    proxy = replace(TWO, app="traefik", proxy=True, route=None)

    step = next_action(proxy, ObservedHost("a", apps={"traefik": app}))

    assert isinstance(step, RejectRelease)
    assert step.takes_over == "traefik.service"


# The route.


def test_a_healthy_candidate_gets_no_route_to_an_entry_point_that_traefik_does_not_have() -> None:
    route = TargetRoute(("example.com",), {"4000": "route-4000", "4001": "route-4001"}, entry_points=("pg",))
    app = APP.with_slot(READY)

    def blocked(*entry_points: str) -> Blocked:
        end = step_of(app, replace(TWO, route=route), entry_points=entry_points)
        assert isinstance(end, Blocked)
        return end

    assert blocked("web", "websecure") == Blocked(
        *WHERE,
        "Traefik has no entry point pg; it has web, websecure",
        "add it to traefik.tcp_ports in fleet.yaml, or to the static configuration if you manage Traefik yourself; or "
        "correct the name (route.tcp.entry_point, or traefik in fleet.yaml)",
        "1",
        kind="traefik",
    )
    assert blocked().reason == "Traefik has no entry point pg; it has none"


def test_a_cutover_names_the_slot_that_it_takes_the_visitors_from() -> None:
    gone = replace(APP.with_slot(READY), slots=(READY,))  # the route names a slot in which nothing is left

    cutover = step_of(gone, TWO)

    assert isinstance(cutover, Cutover)
    assert cutover.from_slot is None


@pytest.mark.parametrize(
    ("route", "attempt"),
    [
        (replace(ROUTE, htpasswd_intact=False), 1_000),
        (replace(ROUTE, intact=False), 1_000),
        (replace(ROUTE, htpasswd_intact=False, attempt=1_000), 1_001),
        (replace(ROUTE, digest="other", attempt=2_000), 2_001),  # the clock was set back
        (None, 1_000),
    ],
)
def test_traefik_reads_a_changed_password_file_again_since_the_route_file_changes_too(
    route: RouteFile | None, attempt: int
) -> None:
    """The number is the time, and larger than the one before."""
    app = replace(APP, route=route)

    step = step_of(app, facts=HostFacts(now_epoch_seconds=1_000))

    assert isinstance(step, Cutover)
    assert step.attempt == attempt


@pytest.mark.parametrize(
    ("changes", "deleted", "drift"),
    [
        ({"intact": False}, False, "route"),
        ({"htpasswd_intact": False}, False, "route"),
        ({"digest": "old"}, False, None),  # a commit changed it
        (None, True, "route"),
        (None, False, None),
    ],
)
def test_a_route_that_was_changed_by_hand_is_drift(
    changes: dict[str, Any] | None, deleted: bool, drift: str | None
) -> None:
    route = None if changes is None else replace(ROUTE, **changes)

    step = step_of(replace(APP, route=route, route_deleted=deleted))

    assert isinstance(step, Cutover)
    assert step.drift == drift


def test_a_worker_has_no_route() -> None:
    assert step_of(APP, WORKER) == RemoveRoute(*WHERE, "no route is desired")


@pytest.mark.parametrize(
    "applied",
    [None, replace(APPLIED, digest="old"), replace(APPLIED, problem="the middleware is missing")],
    ids=["Traefik does not show it", "an older one", "Traefik has disabled it"],
)
def test_a_route_is_confirmed_until_traefik_has_applied_it_without_a_problem(applied: AppliedRoute | None) -> None:
    step = step_of(replace(APP, applied=applied))

    assert step == ConfirmRoute(*WHERE, "Traefik must have applied the route", "4000", "route-4000")


# After the cutover: the old one stays warm.

SOAKING = replace(TWO, soak_seconds=60.0)
CUT_OVER = replace(
    APP.with_slot(replace(READY, on_trial=False, enabled=True, healthy_for_seconds=None)),
    route=RouteFile("4001", "route-4001", True, age_seconds=59),
    applied=AppliedRoute("4001", "route-4001"),
)
WAIT = Soak(*WHERE, "60 s with slot 4000 kept warm", "4001")
DRAIN = Drain(*WHERE, "10 s at most for open requests", "4000")
STOP = StopInstance(*WHERE, "replaced by slot 4001", "4000")


@pytest.mark.parametrize(
    ("app", "target", "expected"),
    [
        pytest.param(CUT_OVER, SOAKING, WAIT, id="for so long"),
        pytest.param(
            replace(CUT_OVER, route=replace(CUT_OVER.route, age_seconds=60)),  # type: ignore[type-var]
            SOAKING, DRAIN, id="and no longer",
        ),
        pytest.param(CUT_OVER, TWO, DRAIN, id="only if that is asked for"),
        pytest.param(
            CUT_OVER.with_slot(replace(LIVE, state="failed", running=None)), SOAKING, STOP, id="if it runs"
        ),
        pytest.param(
            CUT_OVER.with_slot(replace(LIVE, enabled=False, on_trial=True)), SOAKING, STOP, id="and had been accepted"
        ),
        pytest.param(
            replace(CUT_OVER, slots=CUT_OVER.slots[1:], releases=(R1, R2)),
            SOAKING, Converged(*WHERE, "2", "4001"), id="nothing is warm",
        ),
    ],
)  # fmt: skip
def test_the_former_instance_is_kept_warm(app: ObservedApp, target: Target, expected: Step) -> None:
    assert step_of(app, target) == expected


def ill(app: ObservedApp) -> ObservedApp:
    return app.with_slot(replace(app.slot("4001"), healthy=False, failure="it exited"))


def test_what_fails_in_its_soak_gives_the_route_back() -> None:
    assert step_of(ill(CUT_OVER), SOAKING) == GoBack(*WHERE, "it exited", "4000", "i1", V2, "it exited", "4001")


@pytest.mark.parametrize(
    ("app", "target"),
    [
        pytest.param(CUT_OVER, TWO, id="no soak was asked for"),
        pytest.param(CUT_OVER.with_slot(replace(LIVE, enabled=False)), SOAKING, id="the other one was not accepted"),
        pytest.param(
            CUT_OVER.with_slot(replace(LIVE, state="failed", running=None)), SOAKING, id="the other one is dead"
        ),
        pytest.param(replace(CUT_OVER, slots=CUT_OVER.slots[1:]), SOAKING, id="there is no other one"),
        pytest.param(
            replace(CUT_OVER, slots=CUT_OVER.slots[1:], route=None, applied=None).with_slot(LIVE),
            replace(SOAKING, slots=("4001", "4000")),
            id="there is no route to give back",
        ),
        pytest.param(CUT_OVER, replace(SOAKING, route=None), id="it is a worker now"),
    ],
)
def test_without_a_way_back_what_serves_goes_on_however_ill_it_is(app: ObservedApp, target: Target) -> None:
    end = step_of(ill(app), target)

    assert isinstance(end, Blocked)
    assert end.kind == "unhealthy"


# The rest.


def test_the_unit_set_up_by_hand_is_disabled_once_its_successor_serves() -> None:
    app = replace(AT_WORK, by_hand="traefik.service")

    assert step_of(app, WORKER) == EnableInstance(
        *WHERE, "traefik.service is replaced", "4000", "i1", takes_over="traefik.service"
    )


def test_a_worker_on_trial_is_enabled_once_it_was_healthy() -> None:
    app = replace(AT_WORK, slots=(replace(READY, name="4000"),), by_hand="old.service")

    assert step_of(app, replace(WORKER, version="2", release=R2)) == EnableInstance(
        *WHERE, "healthy", "4000", "i2", takes_over="old.service"
    )


def test_old_releases_and_unfinished_uploads_are_pruned_last() -> None:
    app = replace(APP, releases=("0-a", "0-b", R2, R1), leftovers=(".upload",))

    step = step_of(app, replace(ONE, keep_releases=2))

    assert step == PruneReleases(*WHERE, "the last 2 are kept", ("0-a", "0-b", ".upload"))


def test_the_release_that_serves_is_kept_although_newer_ones_came_and_went() -> None:
    app = replace(APP, releases=(R1, "2-a", "2-b"))

    assert step_of(app, replace(ONE, keep_releases=2)) == DONE
