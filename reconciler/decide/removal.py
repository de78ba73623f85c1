"""Removal of an app that is no longer in the desired state: its route, then its instances, then its files. Pure."""

from __future__ import annotations

from reconciler.decide.jobs import end_jobs
from reconciler.decide.routing import confirm_drop
from reconciler.errors import Kind
from reconciler.model.action import (
    Blocked,
    Converged,
    Drain,
    RemoveApp,
    RemoveRoute,
    Step,
    StopInstance,
)
from reconciler.model.observed import ObservedApp, ObservedHost
from reconciler.model.target import Target

REASON = "no longer in the desired state"


def next_step(target: Target, seen: ObservedHost) -> Step:
    """Return the next action to remove the app from the host, Converged if nothing of it is left, or Blocked."""
    app = seen.app(target.app)
    where = (target.host, target.app)
    if app == ObservedApp():
        return Converged(*where, "", "")
    if target.waits_for:
        kind: Kind = "prune_guard" if target.too_many_removed else "waiting"
        return Blocked(*where, f"not removed yet: {target.waits_for}", kind=kind)
    if scheduled := end_jobs(target, app, REASON):
        return scheduled
    if app.route:
        return RemoveRoute(*where, REASON)
    if step := confirm_drop(where, seen):
        return step
    for slot in app.slots:
        if slot.running_now and slot.open_connections and not slot.drained:
            return Drain(*where, f"{target.drain_seconds:g} s at most for open requests", slot.name)
        if slot.occupied:
            return StopInstance(*where, REASON, slot.name)
    if target.lets_jobs_end and (runs := [job.name for job in app.jobs if job.runs_since is not None]):
        reason = f"not removed yet: a run of its job {runs[0]} is under way, and ends by itself"
        return Blocked(*where, reason, retryable=True, kind="waiting")
    return RemoveApp(*where, REASON)
