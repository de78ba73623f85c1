"""Guards: rules that may refuse a decided action. Each refusal says how to allow the action. Pure."""

from __future__ import annotations

from reconciler.decide.serving import serving_version
from reconciler.decide.slots import carries, live_slot, target_identity
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    EndHold,
    PruneReleases,
    RejectRelease,
    RetryCertificates,
    ScheduleJobs,
    StopInstance,
    WaitCertified,
)
from reconciler.model.observed import ObservedHost
from reconciler.model.target import Target

LARGEST_SHARE_REMOVED = 1 / 3
_KINDS = ("repository-", "remote-", "folder-")  # of names for a desired state that has no `owner` in fleet.yaml


def refusal(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    """Return Blocked if a guard refuses this action now, else None."""
    guards = (
        _refuse_app_of_another,
        _refuse_stale_commit,
        _refuse_while_suspended,
        _refuse_to_stop_routed,
        _refuse_to_correct_drift,
        _refuse_while_locked,
    )
    return next((blocked for guard in guards if (blocked := guard(step, target, seen))), None)


def too_many_removals(removed: list[str], apps_seen: int) -> str | None:
    """The reason why these apps may not be removed at once; None if they may."""
    if len(removed) <= apps_seen * LARGEST_SHARE_REMOVED:
        return None
    names = ", ".join(removed[:5]) + (" and more" if len(removed) > 5 else "")
    return (
        f"removing {len(removed)} of {apps_seen} apps at once ({names}) is more than a third; --allow-prune allows it"
    )


def belongs_to_another(owner: str | None, ours: str) -> bool:
    """True if the app on the host is another repository's, or bears another name that fleet.yaml gives as `owner`.

    A folder without git, and the step from one kind of owner to another (`owner:` is added, or --repo is used in place
    of a clone), are no conflict: the same people may do that with the same desired state.
    """
    if owner is None or owner == ours or "-" in (owner, ours):
        return False
    kinds = [next((kind for kind in _KINDS if each.startswith(kind)), "") for each in (owner, ours)]
    return kinds[0] == kinds[1] != "folder-"


def _refuse_app_of_another(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    owner = seen.app(target.app).owner
    if not belongs_to_another(owner, target.owner):
        return None
    reason = f"it belongs to another desired state ({owner}); it would {step.verb}: {step.reason}"
    next_step = f"remove it there first, or take it over: reconcile adopt {target.app}"
    return Blocked(target.host, target.app, reason, next_step, serving_version(target, seen), kind="foreign")


def _refuse_stale_commit(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    if not target.behind:
        return None
    reason = f"{target.behind}; it would {step.verb}: {step.reason}"
    next_step = "git pull; to go back make a new commit (git revert), or pass --allow-step-back"
    return Blocked(target.host, target.app, reason, next_step, serving_version(target, seen), kind="step_back")


def _refuse_while_suspended(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    entry = seen.app(target.app).suspended
    if not entry:
        return None
    reason = f"suspended {entry}; it would {step.verb}: {step.reason}"
    return Blocked(
        target.host,
        target.app,
        reason,
        f"reconcile resume {target.app}",
        serving_version(target, seen),
        kind="suspended",
    )


def _refuse_to_stop_routed(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    app = seen.app(target.app)
    if not isinstance(step, StopInstance | RejectRelease):
        return None
    if isinstance(step, RejectRelease) and app.slot(step.slot).previous:
        return None  # it was started in place of the serving instance, which is restored
    if step.slot not in [route.slot for route in (app.route, app.applied) if route]:
        return None
    reason = f"slot {step.slot} is still routed and is not stopped ({step.reason})"
    next_step = "reconcile status shows the route; correct it in the desired state"
    return Blocked(target.host, target.app, reason, next_step, kind="still_routed")


def _refuse_to_correct_drift(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    """Drift is a difference although the desired release already serves and no rollout is under way."""
    app = seen.app(target.app)
    live = live_slot(target, app)
    if not target.only_report_drift or target.gone or live is None or live.previous:
        return None
    if not carries(live, target, app) and live.prepared != target_identity(target, app):
        return None
    if isinstance(step, ScheduleJobs) and not step.drift:
        return None
    unfinished = any(slot.name != live.name and slot.occupied for slot in app.slots)
    if unfinished or isinstance(step, ConfirmRoute | EndHold | PruneReleases | RetryCertificates | WaitCertified):
        return None
    reason = f"drift, only reported: would {step.verb} {step.subject}, {step.reason}"
    return Blocked(
        target.host,
        target.app,
        reason,
        "set drift: correct to let reconcile put it back",
        serving_version(target, seen),
        kind="drift",
    )


def _refuse_while_locked(step: AnyAction, target: Target, seen: ObservedHost) -> Blocked | None:
    if not seen.locked:
        return None
    return Blocked(
        target.host,
        target.app,
        seen.locked,
        "--wait-lock waits for it",
        serving_version(target, seen),
        retryable=True,
        kind="locked",
    )
