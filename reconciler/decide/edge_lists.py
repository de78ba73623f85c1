"""The steps on an edge of an app: which instances its list names, and when it is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from reconciler.decide import guards
from reconciler.decide.balancing import FENCE, Balancing, Servers
from reconciler.decide.case import Case
from reconciler.decide.certificates import certificate_note, certify
from reconciler.decide.edges import Edges
from reconciler.decide.exposure import Note
from reconciler.decide.order import FleetStep
from reconciler.decide.reasons import route_difference
from reconciler.decide.routing import check_route, check_route_writable, confirm, confirm_drop, is_applied, next_attempt
from reconciler.model.action import (
    BalanceRoute,
    Blocked,
    Converged,
    Drift,
    RemoveRoute,
)
from reconciler.model.fleet import Wait
from reconciler.model.observed import EDGE


def on_an_edge(edge: str, balancing: Balancing, moves: Mapping[str, str]) -> FleetStep:
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


def _servers(edge: str, balancing: Balancing, moves: Mapping[str, str]) -> Servers:
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


def _next(case: Case, servers: Servers, balancing: Balancing, moves: Mapping[str, str]) -> FleetStep:
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


def _is_fenced_for(case: Case, balancing: Balancing) -> bool:
    """True if a host of the app waits for the lease of this edge, to stop an instance."""
    token = balancing.raw.token
    waits = any(
        isinstance(step, Wait) and step.reason == FENCE
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
