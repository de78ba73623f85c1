"""next_action(desired, observed): what the policy wants, unless a guard refuses it. Pure."""

from __future__ import annotations

from reconciler.model.action import Blocked, RejectRelease, Step, StopInstance
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.wanted import Wanted
from reconciler.policy import rollout


def next_action(want: Wanted, seen: ObservedHost | Unreachable) -> Step:
    """The next action for one app on one host; Converged when a look matched; Blocked with its reason."""
    if isinstance(seen, Unreachable):
        return Blocked(want.host, want.app, seen.reason, seen.next_step)
    step = rollout.next_step(want, seen)
    return _refused(step, want, seen) or step


def _refused(step: Step, want: Wanted, seen: ObservedHost) -> Blocked | None:
    """A routed instance is never stopped, whatever the policy says; stop-first apps are replaced, not stopped."""
    if not isinstance(step, StopInstance | RejectRelease) or (isinstance(step, RejectRelease) and want.stop_first):
        return None
    app = seen.app(want.app)
    routed = {app.route.slot if app.route else "", app.applied.slot if app.applied else ""}
    if step.slot not in routed:
        return None
    return Blocked(
        want.host,
        want.app,
        f"slot {step.slot} is still routed and is not stopped ({step.reason})",
        "reconcile status shows the route; correct it in the desired state",
    )
