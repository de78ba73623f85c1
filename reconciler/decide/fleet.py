"""next_steps(desired, seen): what is done next in the whole fleet. Pure.

Everything that makes one thing wait for another is decided here: the order of apps and hosts (`order`), what is
removed and when (`surplus`), and how much a host takes at once (`budget`). What one app needs on one host is
`next_action`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from reconciler.decide.budget import admit
from reconciler.decide.next_action import next_action
from reconciler.decide.order import FleetStep, in_order, migrates_here
from reconciler.decide.surplus import surplus, unseen_hosts
from reconciler.errors import Unexpected
from reconciler.model.action import Blocked, Converged
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import Unreachable
from reconciler.model.target import Target


def next_steps(desired: DesiredFleet, seen: SeenFleet) -> dict[Key, FleetStep]:
    """For each app on each host its next action, what it waits for, that it is converged, or why it is blocked.

    In the order of the targets, removals last. An action that is under way already is its own next step. The key
    ("", host) is for a host without a target that could not be seen: something may have to be removed from it.
    """
    own = {key: _own_step(key, target, desired, seen) for key, target in desired.targets.items()}
    steps = in_order(desired, seen, {**own, **desired.refused})
    removed = surplus(desired, seen, steps)
    steps |= {key: _own_step(key, target, desired, seen) for key, target in removed.items()}
    steps |= unseen_hosts(desired, seen)
    return admit({**desired.targets, **removed}, desired, seen, steps)


def target_of(key: Key, desired: DesiredFleet, seen: SeenFleet) -> Target:
    """The target as it is decided on: with what the rest of the fleet says about it."""
    target = desired.targets[key]
    return replace(target, migrates=False) if target.migrates and not migrates_here(key, desired, seen) else target


def _own_step(key: Key, target: Target, desired: DesiredFleet, seen: SeenFleet) -> FleetStep:
    """What this app needs on this host, as if it were alone."""
    if key in seen.under_way:
        return seen.under_way[key]
    if key in seen.failed:
        return seen.failed[key]
    look = seen.hosts.get(target.host)
    if look is None or (isinstance(look, Unreachable) and target.host in seen.looking):
        return Wait(target.host, target.app, "the host is being looked at")
    try:
        decided = target_of(key, desired, seen) if key in desired.targets else target
        step = next_action(replace(decided, behind=seen.behind.get(key), owner=desired.owner), look)
    except Exception as raised:  # a mistake of ours about one app must not keep the others waiting
        error = Unexpected(raised)
        return Blocked(target.host, target.app, str(error), error.next_step, retryable=True, kind=error.kind)
    if isinstance(step, Converged | Blocked):
        return step
    if target.host in seen.closing or (target.host in seen.looking and key not in seen.begun):
        return Wait(target.host, target.app, "the host is being looked at")
    return step


@dataclass(frozen=True)
class Failure:
    """A version that failed on one host of an app, and those of its other hosts that it has reached."""

    app: App
    host: str
    others: tuple[str, ...]

    @property
    def reason(self) -> str:
        return f"rolled back, since it failed on host {self.host}"


def failures(apps: Iterable[App], ends: Collection[Converged | Blocked]) -> list[Failure]:
    """What the policy `on_failure: rollback` rolls back once the apps have ended so."""
    found = []
    for app in apps:
        own = [end for end in ends if end.app == app.app]
        failed = [end.host for end in own if isinstance(end, Blocked) and end.kind == "quarantined"]
        reached = [end.host for end in own if isinstance(end, Converged) and end.version]
        if app.rollout.on_failure == "rollback" and failed and reached:
            found.append(Failure(app, failed[0], tuple(reached)))
    return found
