"""next_action(desired, observed): the next step of one app on one host, unless a guard refuses it. Pure."""

from __future__ import annotations

from reconciler.decide import guards, removal, rollout
from reconciler.model.action import Blocked, Converged, Step
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Target


def next_action(target: Target, seen: ObservedHost | Unreachable) -> Step:
    """Return the next action for one app on one host, Converged if nothing is left to do, or Blocked."""
    if isinstance(seen, Unreachable):
        return Blocked(target.host, target.app, seen.reason, seen.next_step, retryable=seen.retryable, kind=seen.kind)
    target = target.on(seen.facts.arch)
    if unfit := seen.app(target.app).unreadable:
        reason = f"it is left unchanged: {unfit.reason}"
        next_step = (
            unfit.next_step or f"look at {target.app} on host {target.host}; it stays unchanged until it is fixed"
        )
        return Blocked(target.host, target.app, reason, next_step, kind="unreadable")
    step = removal.next_step(target, seen) if target.gone else rollout.next_step(target, seen)
    return step if isinstance(step, Converged | Blocked) else guards.refusal(step, target, seen) or step
