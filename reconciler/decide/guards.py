"""Rules that may refuse what the policy wants, each with the way through."""

from __future__ import annotations

from reconciler.decide.slots import carries, live_slot
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    PruneReleases,
    RejectRelease,
    RetryCertificates,
    StopInstance,
    WaitCertified,
)
from reconciler.model.observed import ObservedHost
from reconciler.model.wanted import Wanted

LARGEST_SHARE_REMOVED = 1 / 3


def refused(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    """Why this action may not be taken now; None when it may."""
    guards = (_behind, _suspended, _routed_is_never_stopped, _drift_is_only_reported, _another_controller)
    return next((blocked for guard in guards if (blocked := guard(step, want, seen))), None)


def too_many_removals(removed: list[str], apps_seen: int) -> str:
    """Why these apps may not be removed at once; "" when they may."""
    if not removed or len(removed) <= apps_seen * LARGEST_SHARE_REMOVED:
        return ""
    names = ", ".join(sorted(removed)[:5]) + (" and more" if len(removed) > 5 else "")
    return f"{len(removed)} of {apps_seen} apps at once ({names}) is more than a third; --allow-prune lets it happen"


def _behind(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    if not want.behind:
        return None
    reason = f"{want.behind}; it would {step.verb}: {step.reason}"
    next_step = "git pull; to go back make a new commit (git revert), or pass --allow-step-back"
    return Blocked(want.host, want.app, reason, next_step, _serving(want, seen), kind="step_back")


def _suspended(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    entry = seen.app(want.app).suspended
    if not entry:
        return None
    reason = f"suspended {entry}; it would {step.verb}: {step.reason}"
    return Blocked(want.host, want.app, reason, f"reconcile resume {want.app}", _serving(want, seen), kind="suspended")


def _routed_is_never_stopped(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    app = seen.app(want.app)
    if not isinstance(step, StopInstance | RejectRelease):
        return None
    if isinstance(step, RejectRelease) and app.slot(step.slot).previous:
        return None  # it was started in the place of what serves, which comes back
    routed = {app.route.slot if app.route else "", app.applied.slot if app.applied else ""}
    if step.slot not in routed:
        return None
    reason = f"slot {step.slot} is still routed and is not stopped ({step.reason})"
    next_step = "reconcile status shows the route; correct it in the desired state"
    return Blocked(want.host, want.app, reason, next_step, kind="still_routed")


def _drift_is_only_reported(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    """Drift is what differs although the wanted release serves already, and no rollout is still under way."""
    app = seen.app(want.app)
    live = live_slot(want, app)
    if not want.only_report_drift or want.gone or live is None or not carries(live, want, app) or live.previous:
        return None
    unfinished = any(slot.name != live.name and slot.occupied for slot in app.slots)
    if unfinished or isinstance(step, ConfirmRoute | PruneReleases | RetryCertificates | WaitCertified):
        return None
    reason = f"drift, only reported: would {step.verb} {step.subject}, {step.reason}"
    return Blocked(
        want.host, want.app, reason, "write drift: correct to have it put back", _serving(want, seen), kind="drift"
    )


def _another_controller(step: AnyAction, want: Wanted, seen: ObservedHost) -> Blocked | None:
    if not seen.locked:
        return None
    return Blocked(
        want.host,
        want.app,
        seen.locked,
        "--wait-lock waits for it",
        _serving(want, seen),
        retryable=True,
        kind="locked",
    )


def _serving(want: Wanted, seen: ObservedHost) -> str:
    live = live_slot(want, seen.app(want.app))
    return live.running.version if live and live.running_now and live.running else ""
