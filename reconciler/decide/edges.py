"""Apps whose visitors come by edges: the route of an app host, as its edges show it. Pure.

Nothing about it is stored on the app's host. What the edges' files name is its route; it is applied once every edge has
it. While they differ, the slot that has not been left everywhere counts as the route, so the host goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.decide.slots import carries
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet
from reconciler.model.observed import EDGE, AppliedRoute, ObservedApp, ObservedHost, RouteFile
from reconciler.model.target import Target, route_digests


@dataclass(frozen=True)
class Edges:
    """The edges of one app, and what was seen of each. `looks` has those that could be seen."""

    app: str
    targets: Mapping[str, Target]  # by edge
    looks: Mapping[str, ObservedHost]

    @property
    def unseen(self) -> list[str]:
        return [edge for edge in self.targets if edge not in self.looks]

    def address(self, host: str) -> str:
        """The private address of a host of the app; "" if the desired state does not have the app there."""
        places = next((dict(target.places) for target in self.targets.values()), {})
        return places.get(host, "")

    def written(self, edge: str, host: str) -> str:
        """The slot of this host that the edge's route file names, "" if it names none."""
        return slot_in_file(self.looks[edge], self.app, host)

    def applied(self, edge: str, host: str) -> str:
        """The slot of this host that the edge's Traefik sends visitors to, "" if it sends none there."""
        found = self.looks[edge].app(self.app).applied
        if found is None:
            return ""
        if found.slot != EDGE:
            return found.slot if edge == host else ""
        own = f"{self.address(host)}:"
        return next((server.removeprefix(own) for server in found.servers if server.startswith(own)), "")

    def named(self, host: str) -> set[str]:
        """Every slot of this host to which an edge that was seen may send visitors."""
        found = {self.written(edge, host) for edge in self.looks} | {self.applied(edge, host) for edge in self.looks}
        return found - {""}

    def has_moved(self, edge: str, host: str, slot: str) -> bool:
        """True if the edge sends the visitors of this host to this slot: its file says so, and it is applied."""
        app = self.looks[edge].app(self.app)
        if app.route is None or app.applied is None or app.route.slot != EDGE:
            return False
        same = (app.applied.digest, app.applied.attempt) == (app.route.digest, app.route.attempt)
        listed = self.written(edge, host) == slot == self.applied(edge, host)
        return same and listed and not app.applied.problem


def slot_in_file(look: ObservedHost, app: str, host: str) -> str:
    """The slot of `host` that the route file on the host of this look names, "" if it names none."""
    route = look.app(app).route
    if route is None:
        return ""
    if route.slot == EDGE:
        return dict(route.servers).get(host, "")
    return route.slot if look.host == host else ""


def edges_of(desired: DesiredFleet, seen: SeenFleet) -> dict[str, Edges]:
    """The edges of each app that has any, by app."""
    targets: dict[str, dict[str, Target]] = {}
    for (app, edge), target in desired.edges.items():
        targets.setdefault(app, {})[edge] = target
    return {app: Edges(app, each, _readable(app, each, seen)) for app, each in targets.items()}


def _readable(app: str, edges: Iterable[str], seen: SeenFleet) -> dict[str, ObservedHost]:
    looks = {edge: look for edge in edges if (look := seen.host(edge))}
    return {edge: look for edge, look in looks.items() if not look.app(app).unreadable}


def with_routes_of_edges(desired: DesiredFleet, seen: SeenFleet, edges: Mapping[str, Edges]) -> SeenFleet:
    """The same, with the route of each such app on its hosts as the edges show it."""
    hosts = dict(seen.hosts)
    for (app, host), target in desired.targets.items():
        look = hosts.get(host)
        if target.edges and app in edges and isinstance(look, ObservedHost) and not look.app(app).unreadable:
            hosts[host] = look.with_app(app, _routed(look.app(app), target, edges[app]))
    return replace(seen, hosts=hosts) if edges else seen


def _routed(app: ObservedApp, target: Target, edges: Edges) -> ObservedApp:
    slot = route_slot(app, target, edges)
    app = replace(app, route=None, route_deleted=False, applied=None, unconfirmed=None)
    if not slot:
        return app
    digest = route_digests([slot])[slot]
    moved = all(edges.has_moved(edge, target.host, slot) for edge in edges.looks)
    lags = sorted(edges.named(target.host) - {slot})
    applied = AppliedRoute(slot, digest) if moved else AppliedRoute(lags[0], "") if lags else None
    return replace(app, route=RouteFile(slot, digest, intact=True), applied=applied)


def route_slot(app: ObservedApp, target: Target, edges: Edges) -> str:
    """The slot that counts as the route: where the edges differ, the one that does not have the desired release."""
    slots = {edges.written(edge, target.host) for edge in edges.looks} - {""}
    return min(slots, key=lambda slot: (carries(app.slot(slot), target, app), slot), default="")


def edge_target(desired: DesiredFleet, seen: SeenFleet, key: Key) -> Target:
    """The target of an edge, with what is known of the commit that it was written by."""
    return replace(desired.edges[key], behind=seen.behind.get(key), owner=desired.owner)
