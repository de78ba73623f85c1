"""The steps on the hosts of an app behind edges: what waits for the lists there, and where they shall lead. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide import guards
from reconciler.decide.balancing import FENCE, Balancing
from reconciler.decide.edges import Edges
from reconciler.decide.order import FleetStep
from reconciler.decide.routing import confirm_drop
from reconciler.decide.slots import carries
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    EnableInstance,
    Migrate,
    RejectRelease,
    RemoveRoute,
    StartAgain,
    StartInstance,
    Step,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.fleet import Key, Wait
from reconciler.model.observed import ObservedHost, Slot
from reconciler.model.target import Target

_ENDS_AN_INSTANCE = (StartInstance, StartAgain, StopInstance, RejectRelease, Drain)
# What a host may be doing while it still wants the slot to which some of its edges have moved already.
_GOES_ON = (Cutover, EnableInstance, WaitHealthy, ConfirmRoute)
_KEEPS_ALL = ("locked", "unreachable", "suspended", "unreadable", "step_back", "foreign")
DROPPED = ""


def on_a_host(key: Key, target: Target, balancing: Balancing) -> tuple[FleetStep, str | None]:
    """The step of an app host, and the slot to which every edge shall move its visitors; None: each stays as it is."""
    step, edges = balancing.steps[key], balancing.edges
    app, host = key
    look = balancing.seen.host(host)
    if key in balancing.raw.under_way or look is None:
        return step, None
    seen = look.app(app)
    routed = seen.route.slot if seen.route else ""
    if isinstance(step, Cutover):
        return _move(step, key, look, balancing)
    if isinstance(step, RemoveRoute):
        return _wait_for_edges(key, edges, "leave it out"), DROPPED
    if isinstance(step, ConfirmRoute):
        return _obstructed(key, balancing) or _wait_for_edges(key, edges, "apply its route"), None
    split = sorted(edges.named(host) - {routed})
    if split and not isinstance(step, (Wait, *_GOES_ON)) and not _keeps_all(step):
        return _wait_for_edges(key, edges, f"leave slot {split[0]}"), routed or None
    if isinstance(step, _ENDS_AN_INSTANCE) and step.slot != routed and _may_be_routed(seen.slot(step.slot)):
        return _end_behind_edges(step, key, balancing) or _drop_local_route(key, step, balancing), None
    if _begins_rollout(step, target, look) and (obstructed := _obstructed(key, balancing)):
        return obstructed, None
    if isinstance(step, Converged):
        trouble = balancing.trouble()
        return _wait_for_edge(key, trouble) if isinstance(trouble, Wait) else _drop_local_route(
            key, step, balancing
        ), None
    return step, None


def _keeps_all(step: FleetStep) -> bool:
    return isinstance(step, Blocked) and step.kind in _KEEPS_ALL


def _may_be_routed(slot: Slot) -> bool:
    """True if an edge may name the slot: it is enabled before any does, and disabled only after all have left it."""
    return slot.enabled and not slot.on_trial


def _begins_rollout(step: FleetStep, target: Target, look: ObservedHost) -> bool:
    """True if the step begins what could not be ended while an edge is missing."""
    app = look.app(target.app)
    starts = isinstance(step, Migrate) or (isinstance(step, StartInstance) and not step.drift)
    return starts and bool(app.route) and not any(carries(slot, target, app) for slot in app.slots if slot.running_now)


def _move(step: Cutover, key: Key, look: ObservedHost, balancing: Balancing) -> tuple[FleetStep, str | None]:
    app, host = key
    slot = look.app(app).slot(step.slot)
    if obstructed := _obstructed(key, balancing):
        return obstructed, None
    ours = balancing.raw.token in ("", look.lease.token)
    if not slot.enabled or slot.on_trial or slot.previous or not ours:
        why = f"{step.reason}; the edges follow" if not slot.enabled or slot.on_trial else "before its edges move"
        return EnableInstance(host, app, why, step.slot, step.invocation, drift=step.drift), None
    return _wait_for_edges(key, balancing.edges, f"name slot {step.slot}"), step.slot


def _obstructed(key: Key, balancing: Balancing) -> FleetStep | None:
    """The Wait or Blocked of a host whose visitors cannot be moved, since an edge cannot follow; or None."""
    app, host = key
    trouble = balancing.trouble()
    if trouble is None:
        return None
    if isinstance(trouble, Wait):
        return _wait_for_edge(key, trouble)
    assert isinstance(trouble, Blocked)
    reason = f"its edge {trouble.host} cannot follow, so no visitor is moved and nothing is stopped: {trouble.reason}"
    next_step = trouble.next_step or "make it work"
    return replace(
        trouble,
        host=host,
        app=app,
        reason=reason,
        next_step=f"{next_step}; or take {trouble.host} out of route.edges",
        serving=_serving(key, balancing),
    )


def _wait_for_edge(key: Key, trouble: Wait) -> Wait:
    return Wait(key[1], key[0], f"waits for its edge {trouble.host}: {trouble.reason}")


def _serving(key: Key, balancing: Balancing) -> str | None:
    look = balancing.seen.host(key[1])
    app = look.app(key[0]) if look else None
    slot = app.slot(app.route.slot) if app and app.route else None
    return slot.running.version if slot and slot.running_now and slot.running else None


def _wait_for_edges(key: Key, edges: Edges, what: str) -> Wait:
    names = sorted(edges.targets)
    return Wait(key[1], key[0], f"waits until {' and '.join(names)} {what}")


def _end_behind_edges(step: Step, key: Key, balancing: Balancing) -> FleetStep | None:
    """The step before an instance ends that an edge may have named until now; None if it may end."""
    if obstructed := _obstructed(key, balancing):
        return obstructed
    token = balancing.raw.token
    if token and any(look.lease.token != token for look in balancing.edges.looks.values()):
        return Wait(key[1], key[0], FENCE)
    return None


def _drop_local_route(key: Key, step: FleetStep, balancing: Balancing) -> FleetStep:
    """The same step; first, if the host is no edge and has a route of its own from before, that is removed."""
    app, host = key
    look = balancing.raw.host(host)
    if host in balancing.edges.targets or look is None or balancing.edges.unseen:
        return step
    drop: Step | None = None
    if look.app(app).route:
        drop = RemoveRoute(host, app, f"visitors come by {' and '.join(sorted(balancing.edges.targets))}")
    elif look.app(app).applied:
        drop = confirm_drop((host, app), look)
    if drop is None or isinstance(drop, Blocked | Converged):
        return drop or step
    return guards.refusal(drop, balancing.desired.targets[key], look) or drop
