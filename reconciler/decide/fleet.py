"""next_steps(desired, seen): the next step of every app on every host. Pure.

Everything that makes one app wait for another is decided here: the order of apps and hosts (`order`), the removals
(`surplus`), what an app and its processes do together (`family`), and how many starts a host can take at once
(`budget`). `next_action` decides what one app needs on one host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.decide import hooks
from reconciler.decide.balance import balance
from reconciler.decide.budget import admit
from reconciler.decide.edges import Edges, edges_of, with_routes_of_edges
from reconciler.decide.family import together
from reconciler.decide.job_places import one_place_each
from reconciler.decide.next_action import next_action
from reconciler.decide.order import FleetStep, after_migrations, in_order, migrating_host
from reconciler.decide.surplus import surplus, unseen_hosts
from reconciler.errors import Unexpected
from reconciler.model.action import Blocked, Converged, Step
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import EDGE, ObservedHost, Unreachable
from reconciler.model.target import Target


def next_steps(desired: DesiredFleet, seen: SeenFleet, answers: Answers | None = None) -> dict[Key, FleetStep]:
    """Return the step of each app on each host: an action, a Wait, Converged or Blocked.

    The steps have the order of the targets, removals last. An action that is already under way is its own next step.
    The key ("", host) stands for an unreachable host without a target, from which an app may have to be removed.
    `answers` spares what was decided before; the result is the same without it.
    """
    answers = answers or Answers()
    desired, raw = _on_their_hosts(desired, seen), seen
    edges = edges_of(desired, raw)
    seen = answers.with_routes_of_edges(desired, raw, edges)
    migrating = {name: migrating_host(app, desired, seen) for name, app in desired.apps.items()}
    own = {
        key: _own_step(key, target, desired, seen, answers, migrates=migrating.get(key[0], key[1]) == key[1])
        for key, target in desired.targets.items()
    }
    steps = after_migrations(desired, seen, migrating, in_order(desired, seen, {**own, **desired.refused}))
    removed = surplus(desired, seen, steps)
    steps |= {key: _own_step(key, target, desired, seen, answers) for key, target in removed.items()}
    steps = together(desired, seen, steps)
    steps = hooks.after_all_hosts(desired, seen, hooks.once_per_rollout(desired, seen, steps))
    steps = one_place_each(desired, seen, steps)
    steps |= unseen_hosts(desired, seen)
    steps = balance(desired, raw, seen, edges, steps)
    admitted = admit({**desired.targets, **removed}, desired, seen, steps)
    # An action goes on although its app is in neither, such as a removal while a new host has not been looked at yet.
    every = {**admitted, **{key: action for key, action in seen.under_way.items() if key not in admitted}}
    return {key: step for key, step in every.items() if key[1] not in desired.elsewhere} if desired.elsewhere else every


def _on_their_hosts(desired: DesiredFleet, seen: SeenFleet) -> DesiredFleet:
    """The same, with each target as it is on a host of the architecture that was seen."""
    targets = {
        key: target.on(look.facts.arch)
        for key, target in desired.targets.items()
        if target.by_arch and (look := seen.host(target.host))
    }
    return replace(desired, targets={**desired.targets, **targets}) if targets else desired


def _own_step(
    key: Key, target: Target, desired: DesiredFleet, seen: SeenFleet, answers: Answers, *, migrates: bool = True
) -> FleetStep:
    """The step of this app on this host, regardless of other apps and hosts. It `migrates` only if it may do so now."""
    if key in seen.under_way:
        return seen.under_way[key]
    if key in seen.failed:
        return seen.failed[key]
    look = seen.hosts.get(target.host)
    if look is None or (isinstance(look, Unreachable) and target.host in seen.looking):
        return Wait(target.host, target.app, "the host is being looked at")
    step = answers.of(key, target, look, seen.behind.get(key), desired.owner, migrates)
    if isinstance(step, Converged | Blocked):
        return step
    if target.host in seen.closing or (target.host in seen.looking and key not in seen.begun):
        return Wait(target.host, target.app, "the host is being looked at")
    return step


class Answers:
    """The last answer of `next_action` for each key. Targets and looks are frozen: the same two have the same answer.

    With it, the decision after the reply of one host asks `next_action` about that host only, not about all of them.
    """

    def __init__(self) -> None:
        self._last: dict[Key, tuple[Target, ObservedHost | Unreachable, tuple[object, ...], Step]] = {}
        self._looks: dict[str, tuple[ObservedHost, ObservedHost]] = {}  # with the routes of edges: before and after

    def of(
        self, key: Key, target: Target, look: ObservedHost | Unreachable, behind: str | None, owner: str, migrates: bool
    ) -> Step:
        """Return the answer about this target, with these three values in it, and this look."""
        values = behind, owner, migrates
        if (last := self._last.get(key)) and last[0] is target and last[1] is look and last[2] == values:
            return last[3]
        step = _answer(replace(target, behind=behind, owner=owner, migrates=target.migrates and migrates), look)
        self._last[key] = target, look, values, step
        return step

    def with_routes_of_edges(self, desired: DesiredFleet, seen: SeenFleet, edges: Mapping[str, Edges]) -> SeenFleet:
        """As the function of that name. A host for which it gives what it gave before has the same look again."""
        after = with_routes_of_edges(desired, seen, edges)
        hosts = dict(after.hosts)
        for host, look in after.hosts.items():
            before = seen.hosts[host]
            if look is before or not isinstance(look, ObservedHost) or not isinstance(before, ObservedHost):
                continue
            known = self._looks.get(host)
            if known and known[0] is before and known[1] == look:
                hosts[host] = known[1]
            else:
                self._looks[host] = before, look
        return replace(after, hosts=hosts)


def _answer(target: Target, look: ObservedHost | Unreachable) -> Step:
    try:
        return next_action(target, look)
    except Exception as raised:  # a bug met with one app must not hold up the others
        error = Unexpected(raised)
        return Blocked(target.host, target.app, str(error), error.next_step, retryable=True, kind=error.kind)


@dataclass(frozen=True)
class Failure:
    """A version that failed on one host of an app, and the other hosts on which it is live."""

    app: App
    host: str
    others: tuple[str, ...]

    @property
    def reason(self) -> str:
        return f"rolled back, since it failed on host {self.host}"


def failures(apps: Iterable[App], ends: Collection[Converged | Blocked]) -> list[Failure]:
    """The versions that the policy `on_failure: rollback` rolls back, given how the apps ended.

    Those are the ones that are halted: as long as a version may go on to other hosts, nothing is taken back.
    """
    found = []
    for app in apps:
        own = [end for end in ends if end.app == app.app]
        failed = [end.host for end in own if isinstance(end, Blocked) and end.kind == "quarantined"]
        reached = [end.host for end in own if isinstance(end, Converged) and end.version and end.slot != EDGE]
        halted = len(failed) >= app.rollout.max_failures or app.hosts[0] in failed
        if app.rollout.on_failure == "rollback" and failed and halted and reached:
            found.append(Failure(app, failed[0], tuple(reached)))
    return found
