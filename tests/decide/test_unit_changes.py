"""Drop-ins and masks are named and stay; what would start otherwise than we wrote it is not believed to be ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.unit_changes import start_is_changed
from reconciler.model.action import Blocked, Converged, RestoreRights, StopInstance
from reconciler.model.observed import ObservedApp, Slot, UnitChange
from tests.decide.test_rollout import APP, DONE, ONE, TWO, WHERE, step_of

UNIT = "/etc/systemd/system/hello@4001.service"
DROP_IN = "/etc/systemd/system/hello@.service.d/override.conf"
STARTS = UnitChange("dropin", DROP_IN, ("4000", "4001"), ("ExecStart", "MemoryMax"), ("Nice",))


def over(*found: UnitChange, app: ObservedApp = APP) -> ObservedApp:
    return replace(app, unit_changes=found)


def test_a_drop_in_is_noted_with_what_it_changes_and_how_to_undo_it() -> None:
    other = UnitChange("dropin", "/run/systemd/system/service.d/x.conf", ("4000",), (), ("Nice",))
    step = step_of(over(STARTS, other))

    assert isinstance(step, Converged)
    assert step.note == (
        f"{DROP_IN} changes its unit: it sets ExecStart, MemoryMax in place of what reconcile wrote and adds Nice; "
        "/run/systemd/system/service.d/x.conf changes its unit: it adds Nice"
    )
    assert step.next_step == (
        f"if that is not wanted, on the host: rm {DROP_IN} /run/systemd/system/service.d/x.conf && systemctl "
        "daemon-reload; what runs keeps it until its next start"
    )


@pytest.mark.parametrize(
    ("change", "reason", "next_step"),
    [
        (
            UnitChange("masked", UNIT, ("4001",)),
            "hello@4001.service is masked on this host: systemd does not start it",
            "on the host: systemctl unmask hello@4001.service",
        ),
        (
            UnitChange("masked", "/run/user/7/systemd/user/hello@4001.service", ("4001",)),
            "hello@4001.service is masked on this host: systemd does not start it",
            "on the host: systemctl --user unmask --runtime hello@4001.service",
        ),
        (
            UnitChange("instead", UNIT, ("4001",)),
            f"systemd takes {UNIT} for slot 4001, not the unit file that reconcile wrote",
            "move it away on the host, then: systemctl daemon-reload",
        ),
    ],
)
def test_a_version_is_not_sent_to_a_slot_in_which_it_could_not_start(
    change: UnitChange, reason: str, next_step: str
) -> None:
    """Nothing is installed, migrated or stopped before that is said; what serves goes on."""
    step = step_of(over(change), TWO)

    assert isinstance(step, Blocked)
    assert (step.reason, step.next_step, step.serving) == (reason, next_step, "1")
    assert step.kind == ("foreign" if change.kind == "instead" else "host")
    assert "4001" in str(step_of(over(change)).note)  # type: ignore[union-attr]


def test_an_instance_that_would_not_start_again_is_not_converged() -> None:
    step = step_of(over(UnitChange("masked", UNIT, ("4000",))))

    assert isinstance(step, Blocked)
    assert step.reason == "hello@4000.service is masked on this host: it runs, but would not start again after a reboot"
    disabled = over(UnitChange("masked", UNIT, ("4000",)), app=APP.with_slot(replace(APP.slot("4000"), enabled=False)))
    assert isinstance(step_of(disabled), Blocked), "systemd enables no masked unit"


@pytest.mark.parametrize(("setting", "is_fault"), [("ExecStart", True), ("RootDirectory", True), ("MemoryMax", False)])
def test_a_candidate_that_another_start_made_fail_is_not_the_release(setting: str, is_fault: bool) -> None:
    """It is stopped, and tried again at the next look: no version is rejected for what an administrator wrote."""
    failed = Slot("4001", TWO.identity("2-000000000000"), on_trial=True, state="failed", failure="it exited")
    app = over(replace(STARTS, changes=(setting,)), app=APP.with_slot(failed))

    step = step_of(app, TWO)

    assert isinstance(step, StopInstance) == is_fault
    if is_fault:
        gone = step_of(app.with_slot(replace(failed, prepared=None, state="inactive", on_trial=False)), TWO)
        assert isinstance(gone, Blocked)
        assert (gone.kind, gone.retryable) == ("host", True)
        assert gone.reason == f"it exited, with another start than reconcile's: {DROP_IN} sets {setting}"


def test_modes_and_owners_come_back_before_anything_else() -> None:
    """Also before a release that counts as damaged because of them is installed anew."""
    paths = ("/etc/reconcile/hello/4000.env (mode 644, owner root)", "/srv/hello (mode 700, owner root)")
    app = replace(APP, rights=paths, damaged=("1-000000000000",))

    reason = f"mode or owner was changed: {paths[0]} and 1 more"
    assert step_of(app) == RestoreRights(*WHERE, reason, drift="rights")
    warned = step_of(app, replace(ONE, only_report_drift=True))
    assert isinstance(warned, Blocked)
    assert warned.kind == "drift"


DECIDES = ["Type", "ExecStart", "WorkingDirectory", "EnvironmentFile", "User", "DynamicUser", "ExecStartPre"]
DECIDES += ["ExecCondition", "ConditionPathExists", "AssertPathExists", "RootImage"]


@pytest.mark.parametrize("setting", DECIDES)
def test_these_settings_decide_how_an_instance_starts(setting: str) -> None:
    """Whether reconcile's unit makes them too, or not."""
    changes, adds = (
        replace(STARTS, changes=(setting, "Nice"), adds=()),
        replace(STARTS, changes=("Nice",), adds=(setting,)),
    )

    for change in (changes, adds):
        assert start_is_changed(over(change), "4001") == f"{DROP_IN} sets {setting}"


def test_what_changes_the_start_is_named_of_all_drop_ins_of_this_slot_alone() -> None:
    other = replace(STARTS, path="/run/systemd/system/service.d/x.conf", changes=("User",), adds=())
    elsewhere = replace(STARTS, path="/etc/systemd/system/hello@4000.service.d/x.conf", slots=("4000",))

    found = start_is_changed(over(STARTS, other, elsewhere), "4001")

    assert found == f"{DROP_IN} sets ExecStart; /run/systemd/system/service.d/x.conf sets User"
    assert start_is_changed(over(UnitChange("masked", UNIT, ("4001",), ("ExecStart",))), "4001") is None
    assert start_is_changed(over(replace(STARTS, changes=("Nice",), adds=())), "4001") is None


@pytest.mark.parametrize(
    ("settings", "shown"),
    [(("A", "B", "C", "D", "E"), "A, B, C, D, E"), (("A", "B", "C", "D", "E", "F"), "A, B, C, D, E and more")],
)
def test_of_many_settings_five_are_named(settings: tuple[str, ...], shown: str) -> None:
    step = step_of(over(UnitChange("dropin", DROP_IN, ("4000",), settings)))

    assert isinstance(step, Converged)
    assert step.note == f"{DROP_IN} changes its unit: it sets {shown} in place of what reconcile wrote"


def test_a_drop_in_without_settings_and_one_with_an_odd_path_are_named_as_far_as_they_can_be() -> None:
    step = step_of(over(UnitChange("dropin", "-", ("4000",))))

    assert isinstance(step, Converged)
    assert step.note == "a file whose path has unusual characters changes its unit"


def test_the_idle_slot_in_which_the_next_version_could_not_start_is_named_beside_the_drop_ins() -> None:
    masked, drop_in = UnitChange("masked", UNIT, ("4001",)), UnitChange("dropin", DROP_IN, ("4000",), ("Nice",))
    step = step_of(over(masked, drop_in))

    assert isinstance(step, Converged)
    assert step.note == (
        "hello@4001.service is masked: the next version could not start there; "
        f"{DROP_IN} changes its unit: it sets Nice in place of what reconcile wrote"
    )
    assert (step.next_step or "").startswith("on the host: systemctl unmask hello@4001.service; if that is not wanted")
    instead = step_of(over(UnitChange("instead", "/etc/x@.service", ("4001",))))
    assert isinstance(instead, Converged)
    assert (instead.note, instead.next_step) == (
        "/etc/x@.service counts in place of the unit of slot 4001: the next version could not start there",
        "move it away on the host, then: systemctl daemon-reload",
    )


def test_a_slot_that_the_app_does_not_have_any_more_is_not_worth_a_note() -> None:
    assert step_of(over(UnitChange("masked", "/etc/systemd/system/hello@4009.service", ("4009",)))) == DONE
