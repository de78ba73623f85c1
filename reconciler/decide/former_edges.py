"""What waits until edges that an app or a host has left no longer name it, and what they do for that. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide import guards
from reconciler.decide.edges import slot_in_file
from reconciler.decide.order import FleetStep
from reconciler.decide.routing import confirm_drop, is_applied
from reconciler.model.action import (
    Blocked,
    Converged,
    Drain,
    RemoveRoute,
    Step,
    StopInstance,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import EDGE, ObservedHost
from reconciler.model.target import Target


def wait_for_lists(key: Key, step: FleetStep, desired: DesiredFleet, raw: SeenFleet) -> FleetStep:
    """An app leaves a host only after every edge has left it out of its list, unless the edge no longer counts."""
    app, host = key
    if key in desired.targets or not isinstance(step, Drain | StopInstance):
        return step
    lists = [name for name in raw.hosts if name != host and _lists(raw, name, app, host)]
    return Wait(host, app, f"waits until {' and '.join(sorted(lists))} leave it out") if lists else step


def _lists(raw: SeenFleet, edge: str, app: str, host: str) -> bool:
    """True if the edge may send visitors to the app on this host."""
    look = raw.host(edge)
    if look is None:
        return False
    applied = look.app(app).applied
    behind = bool(applied and applied.slot == EDGE and not _is_current(look, app))
    return bool(slot_in_file(look, app, host)) or behind


def _is_current(look: ObservedHost, app: str) -> bool:
    seen = look.app(app)
    return bool(seen.route and is_applied(seen.applied, seen.route))


def leave_former_edges(desired: DesiredFleet, raw: SeenFleet, steps: dict[Key, FleetStep]) -> dict[Key, FleetStep]:
    """Return the steps; before an instance ends, the route of an edge that the app no longer has, and that names it.

    One that cannot be reached holds up nothing: it was taken out of the desired state.
    """
    result = dict(steps)
    for (app, host), step in steps.items():
        if (app, host) not in desired.targets or not isinstance(step, Drain | StopInstance):
            continue
        for edge, look in raw.hosts.items():
            key = app, edge
            if key in desired.edges or not isinstance(look, ObservedHost) or edge == host:
                continue
            if not _lists(raw, edge, app, host) or not isinstance(steps.get(key), Blocked | Converged | Wait):
                continue
            drop = _drop_route(key, look, desired, raw)
            if drop is not None and not isinstance(drop, Blocked):
                result[key] = drop
                result[app, host] = Wait(host, app, f"waits until its former edge {edge} leaves it out")
    return result


def _drop_route(key: Key, look: ObservedHost, desired: DesiredFleet, raw: SeenFleet) -> Step | None:
    app, edge = key
    target = desired.targets.get(key) or Target.removal(edge, app)
    target = replace(target, owner=desired.owner, behind=raw.behind.get(key))
    found = look.app(app)
    gone = RemoveRoute(edge, app, "it is no edge of the app any more")
    step = gone if found.route else confirm_drop((edge, app), look)
    return step if step is None or isinstance(step, Converged | Blocked) else guards.refusal(step, target, look) or step
