"""The plan: the decisions of a pass, repeated over the expected result of each action. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.decide.expected import expected_host
from reconciler.decide.fleet import Answers, next_steps
from reconciler.decide.order import FleetStep
from reconciler.model.action import AnyAction, Blocked, Converged, is_for_edge
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Target

MOST_ACTIONS = 40  # more means that the decision and the expectation disagree, which the property tests rule out


@dataclass(frozen=True)
class PlanNote:
    """What the operator should know before these actions are taken, and what to do about it."""

    text: str
    next_step: str | None = None


@dataclass(frozen=True)
class AppPlan:
    """The actions a pass would take for one app on one host, in order, why it waits, and how it would end."""

    host: str
    app: str
    actions: tuple[AnyAction, ...]
    end: Converged | Blocked
    waits: tuple[str, ...] = ()
    notes: tuple[PlanNote, ...] = ()


def plan(target: Target, seen: ObservedHost | Unreachable) -> AppPlan:
    """Return the plan of a pass for this app alone, in which every action succeeds."""
    key = target.app, target.host
    return plan_fleet(DesiredFleet({key: target}), SeenFleet({target.host: seen}))[key]


def plan_fleet(desired: DesiredFleet, seen: SeenFleet) -> dict[Key, AppPlan]:
    """Return the plan of a pass for the whole fleet, in which every action succeeds. `seen` must have every host."""
    done: dict[Key, list[AnyAction]] = {}
    waits: dict[Key, list[str]] = {}
    answers = Answers()
    while True:
        steps = next_steps(desired, seen, answers)
        for key, step in steps.items():
            if isinstance(step, Wait) and step.reason not in waits.setdefault(key, []):
                waits[key].append(step.reason)
        going = {key: step for key, step in steps.items() if not isinstance(step, Converged | Blocked | Wait)}
        paused = {(key[0], host) for key, step in steps.items() if isinstance(step, Wait) for host, _ in step.looks}
        if paused and not going:  # the pause passes
            seen = replace(seen, rested=seen.rested | paused)
            continue
        if not going:
            return {
                key: AppPlan(key[1], key[0], tuple(done.get(key, ())), _end(step), tuple(waits.get(key, ())))
                for key, step in steps.items()
            }
        hosts = dict(seen.hosts)
        for key, action in going.items():
            done.setdefault(key, []).append(action)
            if len(done[key]) > MOST_ACTIONS:
                raise AssertionError(f"the plan for {key[0]} on {key[1]} does not end: {done[key][-4:]}")
            hosts[key[1]] = _after(action, target_of(action, desired), hosts[key[1]])
        seen = replace(seen, hosts=hosts, begun=seen.begun | going.keys())


def target_of(action: AnyAction, desired: DesiredFleet) -> Target:
    """The target that this action is for. A host may be an edge of an app that it runs itself."""
    key = action.app, action.host
    if (edge := desired.edges.get(key)) and (is_for_edge(action) or key not in desired.targets):
        return edge
    return desired.targets.get(key) or Target.removal(action.host, action.app)


def _after(action: AnyAction, target: Target, look: ObservedHost | Unreachable) -> ObservedHost:
    assert isinstance(look, ObservedHost)
    look = expected_host(look, action, target)
    if target.proxy:  # its action also ends any trouble that keeps routes from being written
        look = replace(look, traefik=None, entry_points=None, facts=replace(look.facts, route_trouble=None))
    return look


def _end(step: FleetStep) -> Converged | Blocked:
    assert isinstance(step, Converged | Blocked)
    return step
