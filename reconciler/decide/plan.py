"""The preview: the decision unfolded over what each action is expected to change. Pure; no second logic."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.expected import expected_host
from reconciler.decide.next_action import next_action
from reconciler.model.action import AnyAction, Blocked, Converged
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Target

MOST_ACTIONS = 40  # more means that decide and expect disagree; the property tests keep it from happening


@dataclass(frozen=True)
class AppPlan:
    """The actions a pass would take for one app on one host, in order, and how it would end."""

    host: str
    app: str
    actions: tuple[AnyAction, ...]
    end: Converged | Blocked


def plan(target: Target, seen: ObservedHost | Unreachable) -> AppPlan:
    """What a pass would do, as if every action went as meant."""
    actions: list[AnyAction] = []
    while len(actions) < MOST_ACTIONS:
        step = next_action(target, seen)
        if isinstance(step, Converged | Blocked) or isinstance(seen, Unreachable):
            assert isinstance(step, Converged | Blocked)
            return AppPlan(target.host, target.app, tuple(actions), step)
        actions.append(step)
        seen = expected_host(seen, step, target)
    raise AssertionError(f"the plan for {target.app} on {target.host} does not end: {actions[-4:]}")
