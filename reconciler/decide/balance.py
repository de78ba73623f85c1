"""The steps on edges, and what waits for them on the hosts of an app. Pure.

A cutover of one host changes one server in the list of every edge:

    enable the new slot on its host → every edge writes its list → every Traefik has applied it → drain → stop

The host is enabled first, so that a reboot at any moment brings back the slots that an edge may name. An edge that
cannot be seen, or cannot apply a route, holds up every cutover of the app: it would go on sending visitors to the slot
that is to be stopped. The leases fence off a controller that slept: whoever moves visitors has taken the lease of the
app's host, and whoever stops an instance has taken that of every edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from reconciler.dataclass import dataclass
from reconciler.decide import guards
from reconciler.decide.case import Case
from reconciler.decide.certificates import certificate_note, certify
from reconciler.decide.edges import Edges, edge_target, slot_in_file
from reconciler.decide.exposure import Note
from reconciler.decide.order import FleetStep
from reconciler.decide.reasons import route_difference
from reconciler.decide.routing import check_route, check_route_writable, confirm, confirm_drop, is_applied, next_attempt
from reconciler.decide.slots import carries
from reconciler.model.action import (
    BalanceRoute,
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    Drift,
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
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.identity import Identity
from reconciler.model.observed import EDGE, ObservedHost, Slot, Unreachable
from reconciler.model.target import Target

_ENDS_AN_INSTANCE = (StartInstance, StartAgain, StopInstance, RejectRelease, Drain)
# What a host may be doing while it still wants the slot to which some of its edges have moved already.
_GOES_ON = (Cutover, EnableInstance, WaitHealthy, ConfirmRoute)
_KEEPS_ALL = ("locked", "unreachable", "suspended", "unreadable", "step_back", "foreign")
DROPPED = ""
Servers = tuple[tuple[str, str], ...]  # (host, slot)


@dataclass(frozen=True)
class _Balancing:
    """One app with edges: the steps of its hosts so far, and of the edges while no slot changes."""

    desired: DesiredFleet
    raw: SeenFleet  # what each host itself shows
    seen: SeenFleet  # the same, with the route of each app host as the edges show it
    edges: Edges
    steps: Mapping[Key, FleetStep]

    def trouble(self) -> Wait | Blocked | None:
        """The first obstacle on an edge, one that stays before one that passes; None if there is none."""
        found = [obstacle for edge in self.edges.targets if (obstacle := self.obstacle(edge))]
        return next((each for each in found if isinstance(each, Blocked)), found[0] if found else None)

    def obstacle(self, edge: str) -> Wait | Blocked | None:
        """Why this edge cannot take another list now, or None."""
        key = self.edges.app, edge
        look = self.raw.hosts.get(edge)
        if key in self.raw.failed:
            return self.raw.failed[key]
        if look is None or (isinstance(look, Unreachable) and edge in self.raw.looking) or edge in self.raw.closing:
            return Wait(edge, key[0], "the host is being looked at")
        if isinstance(look, Unreachable):
            return Blocked(edge, key[0], look.reason, look.next_step, retryable=look.retryable, kind=look.kind)
        case = self.case(edge, look)
        if unfit := look.app(key[0]).unreadable:
            return case.block("unreadable", f"it is left unchanged: {unfit.reason}", unfit.next_step)
        if look.app(key[0]).foreign:
            files = ", ".join(look.app(key[0]).foreign)
            return case.block("foreign", f"{files} was not written by reconcile and is left alone", "move it away")
        if blocked := check_route_writable(case) or check_route(case):
            return blocked
        write = BalanceRoute(edge, key[0], "another list", (), 0)
        return guards.refusal(write, case.target, look)

    def case(self, edge: str, look: ObservedHost) -> Case:
        target = edge_target(self.desired, self.raw, (self.edges.app, edge))
        nothing = Identity(target.version, "", "")
        return Case(target, look, look.app(self.edges.app), None, Slot(EDGE), nothing)


def balance(
    desired: DesiredFleet, raw: SeenFleet, seen: SeenFleet, edges: Mapping[str, Edges], steps: dict[Key, FleetStep]
) -> dict[Key, FleetStep]:
    """Return the steps, with those of the edges, and with a Wait on each host for what the edges have to do first."""
    steps = {key: _wait_for_lists(key, step, desired, raw) for key, step in steps.items()}
    steps = _leave_former_edges(desired, raw, steps)
    for app, each in edges.items():
        balancing = _Balancing(desired, raw, seen, each, steps)
        moves: dict[str, str] = {}
        for key, target in desired.targets.items():
            if key[0] == app and target.edges:
                steps[key], move = _on_a_host(key, target, balancing)
                moves |= {} if move is None else {key[1]: move}
        for edge in each.targets:
            steps[app, edge] = _merged(steps.get((app, edge)), _on_an_edge(edge, balancing, moves))
    return steps


def _merged(of_host: FleetStep | None, of_edge: FleetStep) -> FleetStep:
    """The step of a host that is an edge of its own app: one thing at a time, first what other hosts wait for."""
    if of_host is None or not isinstance(of_edge, Converged | Blocked | Wait):
        return of_edge
    if not isinstance(of_host, Converged | Blocked | Wait):
        return of_host
    return next((step for step in (of_edge, of_host) if isinstance(step, Blocked)), None) or (
        of_edge if isinstance(of_edge, Wait) else of_host
    )


# The hosts of the app.


def _on_a_host(key: Key, target: Target, balancing: _Balancing) -> tuple[FleetStep, str | None]:
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


def _move(step: Cutover, key: Key, look: ObservedHost, balancing: _Balancing) -> tuple[FleetStep, str | None]:
    app, host = key
    slot = look.app(app).slot(step.slot)
    if obstructed := _obstructed(key, balancing):
        return obstructed, None
    ours = balancing.raw.token in ("", look.lease.token)
    if not slot.enabled or slot.on_trial or slot.previous or not ours:
        why = f"{step.reason}; the edges follow" if not slot.enabled or slot.on_trial else "before its edges move"
        return EnableInstance(host, app, why, step.slot, step.invocation, drift=step.drift), None
    return _wait_for_edges(key, balancing.edges, f"name slot {step.slot}"), step.slot


def _obstructed(key: Key, balancing: _Balancing) -> FleetStep | None:
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


def _serving(key: Key, balancing: _Balancing) -> str | None:
    look = balancing.seen.host(key[1])
    app = look.app(key[0]) if look else None
    slot = app.slot(app.route.slot) if app and app.route else None
    return slot.running.version if slot and slot.running_now and slot.running else None


def _wait_for_edges(key: Key, edges: Edges, what: str) -> Wait:
    names = sorted(edges.targets)
    return Wait(key[1], key[0], f"waits until {' and '.join(names)} {what}")


def _end_behind_edges(step: Step, key: Key, balancing: _Balancing) -> FleetStep | None:
    """The step before an instance ends that an edge may have named until now; None if it may end."""
    if obstructed := _obstructed(key, balancing):
        return obstructed
    token = balancing.raw.token
    if token and any(look.lease.token != token for look in balancing.edges.looks.values()):
        return Wait(key[1], key[0], _FENCE)
    return None


_FENCE = "waits until no other controller can change its edges"


def _drop_local_route(key: Key, step: FleetStep, balancing: _Balancing) -> FleetStep:
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


def _wait_for_lists(key: Key, step: FleetStep, desired: DesiredFleet, raw: SeenFleet) -> FleetStep:
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


def _leave_former_edges(desired: DesiredFleet, raw: SeenFleet, steps: dict[Key, FleetStep]) -> dict[Key, FleetStep]:
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


# The edges.


def _on_an_edge(edge: str, balancing: _Balancing, moves: Mapping[str, str]) -> FleetStep:
    key = balancing.edges.app, edge
    if key in balancing.raw.under_way:
        return balancing.raw.under_way[key]
    look = balancing.raw.host(edge)
    if look is None or look.app(key[0]).unreadable or look.app(key[0]).foreign or key in balancing.raw.failed:
        obstacle = balancing.obstacle(edge)
        assert obstacle is not None
        return obstacle
    if edge in balancing.raw.closing or (edge in balancing.raw.looking and key not in balancing.raw.begun):
        return Wait(edge, key[0], "the host is being looked at")
    case = balancing.case(edge, look)
    step = _next(case, _servers(edge, balancing, moves), balancing, moves)
    if isinstance(step, Converged | Blocked | Wait):
        return step
    return guards.refusal(step, case.target, look) or step


def _servers(edge: str, balancing: _Balancing, moves: Mapping[str, str]) -> Servers:
    """The list that this edge shall have: one proven slot of each host of the app."""
    edges = balancing.edges
    found = []
    for host, _ in edges.targets[edge].places:
        slot = moves[host] if host in moves else edges.written(edge, host) or _slot_elsewhere(edge, host, edges)
        if slot:
            found.append((host, slot))
    return tuple(sorted(found))


def _slot_elsewhere(edge: str, host: str, edges: Edges) -> str:
    """The slot of this host that another edge names: a new edge takes over what the others have."""
    return next((slot for other in sorted(edges.looks) if other != edge and (slot := edges.written(other, host))), "")


def _next(case: Case, servers: Servers, balancing: _Balancing, moves: Mapping[str, str]) -> FleetStep:
    app, found, route = case.app, case.app.route, case.target.route
    assert route is not None
    if not servers:
        if found:
            return RemoveRoute(*case.where, "no host of the app has an instance that it could name")
        return confirm_drop(case.where, case.seen) or Wait(*case.where, "waits for the first proven instance")
    digest = route.digests[EDGE]
    fresh = found is not None and (found.slot, found.digest) == (EDGE, digest) and found.as_written
    fresh = fresh and not (route.in_etcd and found is not None and found.attempt != number_of(servers))
    if not fresh or found is None or found.servers != servers:
        if blocked := check_route_writable(case) or check_route(case):
            return blocked
        by_hand = app.route_deleted or (found is not None and not found.as_written)
        drift: Drift | None = "route" if by_hand and not moves else None
        return BalanceRoute(*case.where, _why(case, servers, digest), servers, _attempt(case, servers), drift=drift)
    if not is_applied(app.applied, found):
        return confirm(case, found)
    if _is_fenced_for(case, balancing):
        return BalanceRoute(
            *case.where, "takes the lease before an instance is stopped", servers, _attempt(case, servers)
        )
    return certify(case) or _converged(case, servers)


def _attempt(case: Case, servers: Servers) -> int:
    """The number that marks this write. With etcd it follows from the list: all edges must have the same one."""
    route = case.target.route
    return number_of(servers) if route and route.in_etcd else next_attempt(case)


def number_of(servers: Servers) -> int:
    """A number of at most 15 digits that tells this list from others."""
    return int(sha256(repr(servers).encode()).hexdigest()[:12], 16) or 1


def _is_fenced_for(case: Case, balancing: _Balancing) -> bool:
    """True if a host of the app waits for the lease of this edge, to stop an instance."""
    token = balancing.raw.token
    waits = any(
        isinstance(step, Wait) and step.reason == _FENCE
        for key, step in balancing.steps.items()
        if key[0] == balancing.edges.app
    )
    return waits and bool(token) and case.seen.lease.token != token


def _why(case: Case, servers: Servers, digest: str) -> str:
    """Why the list is written: which hosts move, or what else differs."""
    found, route = case.app.route, case.target.route
    assert route is not None
    if found is None or found.slot != EDGE or found.digest != digest or not found.as_written:
        if found is not None and found.as_written and found.slot != EDGE:
            return "the route names the instances of every host"
        return route_difference(case.app, route, digest)
    before, after = dict(found.servers), dict(servers)
    moved = [
        f"{host}: slot {before[host]} → {after[host]}" for host in after if before.get(host, after[host]) != after[host]
    ]
    added = [f"{host} added" for host in after if host not in before]
    removed = [f"{host} left out" for host in before if host not in after]
    return ", ".join([*moved, *added, *removed])


def _converged(case: Case, servers: Servers) -> Converged:
    notes = [note for note in (certificate_note(case), _down_note(case, servers)) if note]
    return Converged(
        *case.where,
        case.target.version,
        EDGE,
        "; ".join(note.text for note in notes) or None,
        "; ".join(note.next_step for note in notes) or None,
    )


def _down_note(case: Case, servers: Servers) -> Note | None:
    """The note on instances that fail the health check of the edge's Traefik, which leaves them out."""
    down = set(case.app.applied.down) if case.app.applied else set()
    places = dict(case.target.places)
    hosts = [host for host, slot in servers if f"{places.get(host)}:{slot}" in down]
    if not hosts:
        return None
    return Note(
        f"{', '.join(hosts)} {'fail' if len(hosts) > 1 else 'fails'} its health check, so it sends no visitors there",
        f"reconcile status {case.target.app}; see that {case.target.host} reaches their private addresses",
    )
