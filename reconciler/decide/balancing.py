"""One app behind its edges, as its steps are decided from it; and what keeps an edge from following. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.decide import guards
from reconciler.decide.case import Case
from reconciler.decide.edges import Edges, edge_target
from reconciler.decide.order import FleetStep
from reconciler.decide.routing import check_route, check_route_writable
from reconciler.model.action import (
    BalanceRoute,
    Blocked,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.identity import Identity
from reconciler.model.observed import EDGE, ObservedHost, Slot, Unreachable

Servers = tuple[tuple[str, str], ...]  # (host, slot)
# Why a host waits that has yet to stop an instance, until the lease of each edge is ours.
FENCE = "waits until no other controller can change its edges"


@dataclass(frozen=True)
class Balancing:
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
