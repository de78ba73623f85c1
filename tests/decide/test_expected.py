"""What each action is expected to change: the whole app before and after. Real hosts check that this is true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.expected import expected_host, forget_evidence
from reconciler.model.action import (
    AnyAction,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    InstallRelease,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    RepairFiles,
    RestoreRights,
    RetryCertificates,
    RunHook,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import (
    AppliedRoute,
    Certificate,
    HookMark,
    HostFacts,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
)
from reconciler.model.target import Target, TargetRoute
from tests.support.world import wanted

R1, R2 = "1-000000000000", "2-000000000000"
PARTS = (("domain example.com", "1"),)
TARGET = wanted(
    "2", unit="u2", env="e2", attempt="a1", soak_seconds=60.0, minimum_healthy_seconds=3.0,
    route=TargetRoute(("example.com",), {"4000": "to-4000", "4001": "to-4001"}, PARTS),
)  # fmt: skip
OLD, NEW = Identity(R1, "e1", "u1"), Identity(R2, "e2", "u2")
KEYS = (("GREETING", "e2"),)

LIVE = Slot("4000", OLD, state="active", running=OLD, invocation="i", enabled=True, listening=True, healthy=True)
TRIAL = Slot("4001", NEW, KEYS, state="active", running=NEW, invocation="+", on_trial=True)
READY = replace(TRIAL, listening=True, health="200", healthy=True, healthy_for_seconds=3.0)
ACCEPTED = replace(READY, on_trial=False, enabled=True, healthy_for_seconds=None)
REST = ObservedApp(
    (LIVE,), (R2, R1), unit="u1", route=RouteFile("4000", "to-4000", intact=True), applied=AppliedRoute("4000", "x")
)
TRIED = REST.with_slot(TRIAL)
ROUTE = RouteFile("4001", "to-4001", intact=True, parts=PARTS)
ROUTED = replace(TRIED.with_slot(ACCEPTED), releases=(R1, R2), unit="u2", route=ROUTE)
WHERE = "a", "hello"


def after(action: AnyAction, before: ObservedApp, target: Target = TARGET) -> ObservedApp:
    return expected_host(ObservedHost("a", apps={"hello": before}), action, target).app("hello")


@pytest.mark.parametrize(
    ("action", "before", "expected"),
    [
        pytest.param(
            InstallRelease(*WHERE, "", R2),
            replace(REST, releases=(R1,)),
            replace(REST, releases=(R1, R2)),
            id="install",
        ),
        pytest.param(
            InstallRelease(*WHERE, "", R1, replaces_damaged=True),
            replace(TRIED, damaged=(R1,)),
            replace(
                TRIED.with_slot(replace(LIVE, running=replace(OLD, release=f"{R1}~1"), files_intact=False)),
                leftovers=(f"{R1}~1",),
            ),
            id="install beside a damaged one, which goes on running",
        ),
        pytest.param(
            Migrate(*WHERE, "", NEW), replace(REST, migrated=(R1,)), replace(REST, migrated=(R1, R2)), id="migrate"
        ),
        pytest.param(StartInstance(*WHERE, "", "4001", NEW), REST, TRIED, id="start a candidate beside"),
        pytest.param(
            StartInstance(*WHERE, "", "4001", NEW, hook="due"),
            replace(REST, hook=HookMark("after_rollout", OLD, "done")),
            replace(TRIED, hook=HookMark("after_rollout", NEW, "due")),
            id="start a candidate, which makes its hook due",
        ),
        pytest.param(
            RunHook(*WHERE, "", "after_rollout", NEW),
            replace(REST, hook=HookMark("after_rollout", NEW, "begun")),
            replace(REST, hook=HookMark("after_rollout", NEW, "done")),
            id="run a hook",
        ),
        pytest.param(
            StartInstance(*WHERE, "", "4000", NEW),
            REST.with_slot(
                replace(
                    LIVE, restarts=3, stranger="x", port_lost=True, open_connections=2, health="503", files_intact=False
                )
            ),
            REST.with_slot(
                replace(TRIAL, name="4000", invocation="i+", enabled=True, previous=OLD, healthy=None, listening=False)
            ),
            id="start a candidate in place of what served",
        ),
        pytest.param(
            StartInstance(*WHERE, "", "4000", OLD),
            replace(REST.with_slot(replace(LIVE, state="failed", running=None)), unit_intact=False),
            replace(
                REST.with_slot(replace(LIVE, invocation="i+", env_keys=KEYS, listening=False, healthy=None)), unit="u2"
            ),
            id="start what is prepared: no trial, and its unit is written",
        ),
        pytest.param(
            StartInstance(*WHERE, "", "4001", NEW),
            REST.with_slot(replace(TRIAL, prepared=OLD, running=OLD, previous=None)),
            REST.with_slot(replace(TRIAL, invocation="++")),
            id="start in place of another candidate",
        ),
        pytest.param(
            StartInstance(*WHERE, "", "4000", NEW),
            REST.with_slot(replace(LIVE, prepared=Identity("3-x", "e", "u"), on_trial=True, previous=OLD)),
            REST.with_slot(
                replace(TRIAL, name="4000", invocation="i+", enabled=True, previous=OLD, healthy=None, listening=False)
            ),
            id="start in place of another candidate: what served before is kept",
        ),
        pytest.param(
            StartInstance(*WHERE, "", "4000", OLD),
            REST.with_slot(replace(LIVE, prepared=NEW, on_trial=True, previous=OLD)),
            replace(
                REST.with_slot(replace(LIVE, invocation="i+", env_keys=KEYS, listening=False, healthy=None)), unit="u2"
            ),
            id="start what served before in place of a candidate",
        ),
        pytest.param(
            StartAgain(*WHERE, "", "4000"),
            REST.with_slot(replace(LIVE, state="inactive", running=None)),
            REST.with_slot(replace(LIVE, invocation="i+")),
            id="start again",
        ),
        pytest.param(
            RepairFiles(*WHERE, "", "4001", NEW),
            replace(
                ROUTED.with_slot(
                    replace(ACCEPTED, prepared=OLD, env_keys=(), files_intact=False, on_trial=True, previous=OLD)
                ),
                unit="x",
                unit_intact=False,
            ),
            ROUTED,
            id="repair",
        ),
        pytest.param(
            WaitHealthy(*WHERE, "", "4001"),
            REST.with_slot(replace(TRIAL, state="activating")),
            REST.with_slot(READY),
            id="wait",
        ),
        pytest.param(
            Cutover(*WHERE, "", "4001", "i"), REST.with_slot(READY), ROUTED, id="cutover: its release served last"
        ),
        pytest.param(
            Cutover(*WHERE, "", "4001", "i"),
            replace(REST.with_slot(READY), unit_intact=False),
            ROUTED,
            id="cutover: the unit of the candidate is the unit now",
        ),
        pytest.param(
            Cutover(*WHERE, "", "4001", "i"),
            replace(REST.with_slot(READY), releases=(R1,)),
            replace(ROUTED, releases=(R1,)),
            id="cutover of what runs although its release is gone",
        ),
        pytest.param(
            Cutover(*WHERE, "", "4000", "i"),
            replace(REST, route=None, unit="u9", unit_intact=False),
            replace(
                REST,
                route=RouteFile("4000", "to-4000", True, parts=PARTS),
                releases=(R2, R1),
                unit="u9",
                unit_intact=False,
            ),
            id="cutover of what was accepted before: its unit stays as it is",
        ),
        pytest.param(
            Cutover(*WHERE, "", "4001", "i"),
            replace(REST, slots=(Slot("4001", state="active", running=NEW, on_trial=True),), unit_intact=False),
            replace(REST, slots=(Slot("4001", state="active", running=NEW, enabled=True),), route=ROUTE),
            id="cutover of what has no files on disk",
        ),
        pytest.param(
            EnableInstance(*WHERE, "", "4001", "i"),
            replace(REST.with_slot(READY), by_hand="traefik.service"),
            replace(ROUTED, route=REST.route),
            id="enable: no unit set up by hand is left",
        ),
        pytest.param(
            ConfirmRoute(*WHERE, "", "4001", "to-4001", 7),
            ROUTED,
            replace(ROUTED, applied=AppliedRoute("4001", "to-4001", attempt=7)),
            id="confirm",
        ),
        pytest.param(
            ConfirmRoute(*WHERE, "", "", ""), replace(REST, route=None), replace(REST, route=None, applied=None),
            id="confirm that there is none",
        ),
        pytest.param(RestoreRights(*WHERE, ""), replace(REST, rights=("x",)), REST, id="restore"),
        pytest.param(RemoveRoute(*WHERE, ""), REST, replace(REST, route=None), id="unroute"),
        pytest.param(
            Drain(*WHERE, "", "4000"),
            REST.with_slot(replace(LIVE, open_connections=7)),
            REST.with_slot(replace(LIVE, drained=True)),
            id="drain",
        ),
        pytest.param(
            Soak(*WHERE, "", "4001"), ROUTED, replace(ROUTED, route=replace(ROUTE, age_seconds=61)), id="soak"
        ),
        pytest.param(Soak(*WHERE, "", "4001"), replace(ROUTED, route=None), replace(ROUTED, route=None), id="no route"),
        pytest.param(
            GoBack(*WHERE, "", "4000", "i", NEW, "it exited", "4001"),
            replace(ROUTED.with_slot(replace(LIVE, enabled=False)), quarantined=(Quarantine(OLD, "x", 1),)),
            replace(
                ROUTED,
                route=RouteFile("4000", "to-4000", True, parts=PARTS),
                quarantined=(Quarantine(OLD, "x", 1), Quarantine(NEW, "it exited", 0, "a1")),
            ),
            id="go back",
        ),
        pytest.param(
            RetryCertificates(*WHERE, "", "4001", "i", 7),
            replace(ROUTED, route=replace(ROUTE, age_seconds=9000)),
            replace(ROUTED, route=replace(ROUTE, attempt=7)),
            id="ask for certificates again",
        ),
        pytest.param(WaitCertified(*WHERE, "", ("example.com",)), ROUTED, ROUTED, id="wait for certificates"),
        pytest.param(RemoveApp(*WHERE, ""), REST, ObservedApp(), id="remove"),
        pytest.param(StopInstance(*WHERE, "", "4000"), ROUTED, ROUTED.with_slot(Slot("4000")), id="stop"),
        pytest.param(
            RejectRelease(*WHERE, "", "4001", NEW, "it exited"),
            replace(TRIED, releases=(R1, R2), quarantined=(Quarantine(OLD, "x", 1),)),
            replace(
                REST.with_slot(Slot("4001")),
                releases=(R2, R1),
                quarantined=(Quarantine(OLD, "x", 1), Quarantine(NEW, "it exited", 0, "a1")),
            ),
            id="reject: its release is the first to be pruned",
        ),
        pytest.param(
            RejectRelease(*WHERE, "", "4000", NEW, "it exited"),
            replace(
                REST.with_slot(replace(LIVE, prepared=NEW, running=NEW, on_trial=True, previous=OLD)), releases=(R1, R2)
            ),
            replace(
                REST.with_slot(Slot("4000", OLD, state="active", running=OLD, invocation="i+", enabled=True)),
                releases=(R2, R1),
                quarantined=(Quarantine(NEW, "it exited", 0, "a1"),),
            ),
            id="reject in the slot of what served: that is back",
        ),
        pytest.param(
            RejectRelease(*WHERE, "", "4001", replace(NEW, env="bad"), "it exited"),
            replace(REST.with_slot(TRIAL).with_slot(replace(LIVE, prepared=NEW)), releases=(R1, R2)),
            replace(
                REST.with_slot(replace(LIVE, prepared=NEW)).with_slot(Slot("4001")),
                releases=(R1, R2),
                quarantined=(Quarantine(replace(NEW, env="bad"), "it exited", 0, "a1"),),
            ),
            id="reject an env: the release that another slot needs is not pruned first",
        ),
        pytest.param(
            RejectRelease(*WHERE, "", "4001", NEW, "it exited"),
            replace(
                REST.with_slot(TRIAL).with_slot(replace(LIVE, prepared=None, previous=NEW)), releases=(R1, R2)
            ),
            replace(
                REST.with_slot(replace(LIVE, prepared=None, previous=NEW)).with_slot(Slot("4001")),
                releases=(R1, R2),
                quarantined=(Quarantine(NEW, "it exited", 0, "a1"),),
            ),
            id="reject: nor the one that a reboot brings back",
        ),
        pytest.param(
            RejectRelease(*WHERE, "", "4001", NEW, "it exited"),
            replace(TRIED, releases=(R1,)),
            replace(
                REST.with_slot(Slot("4001")), releases=(R1,), quarantined=(Quarantine(NEW, "it exited", 0, "a1"),)
            ),
            id="reject what is not on the host any more",
        ),
        pytest.param(
            PruneReleases(*WHERE, "", (R2, "leftover")),
            replace(REST, leftovers=("leftover",)),
            replace(REST, releases=(R1,)),
            id="prune",
        ),
    ],
)  # fmt: skip
def test_an_action_changes_this_and_nothing_else(action: AnyAction, before: ObservedApp, expected: ObservedApp) -> None:
    assert after(action, before) == expected


@pytest.mark.parametrize(
    ("health_path", "port_asked", "listening"), [("/ping", False, True), (None, True, True), (None, False, False)]
)
def test_what_was_asked_on_its_port_is_known_to_listen(
    health_path: str | None, port_asked: bool, listening: bool
) -> None:
    target = replace(TARGET, health_path=health_path, port_asked=port_asked)

    assert after(WaitHealthy(*WHERE, "", "4001"), TRIED, target).slot("4001").listening is listening


def test_new_certificates_last_as_long_as_let_s_encrypt_makes_them_and_the_others_stay() -> None:
    held = Certificate(("other.example.com",), 5)
    action = WaitCertified(*WHERE, "", ("example.com",))
    new = Certificate(("example.com",), 1_000 + 90 * 86_400)

    def certificates(*before: Certificate) -> tuple[Certificate, ...] | None:
        seen = ObservedHost("a", HostFacts(now_epoch_seconds=1_000), certificates=before or None)
        return expected_host(seen, action, TARGET).certificates

    assert certificates(held) == (held, new)
    assert certificates() == (new,)


def test_a_fresh_look_shows_nothing_that_only_watching_has_shown() -> None:
    watched = replace(LIVE, healthy_for_seconds=2.0, failure="it exited", drained=True)
    app = replace(REST.with_slot(watched), unconfirmed="not within 10 s", uncertified="not within 15 s")

    assert forget_evidence(app) == REST
