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

from reconciler.decide.balancing import Balancing
from reconciler.decide.behind_edges import on_a_host
from reconciler.decide.edge_lists import on_an_edge
from reconciler.decide.edges import Edges
from reconciler.decide.former_edges import leave_former_edges, wait_for_lists
from reconciler.decide.order import FleetStep
from reconciler.model.action import (
    Blocked,
    Converged,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait


def balance(
    desired: DesiredFleet, raw: SeenFleet, seen: SeenFleet, edges: Mapping[str, Edges], steps: dict[Key, FleetStep]
) -> dict[Key, FleetStep]:
    """Return the steps, with those of the edges, and with a Wait on each host for what the edges have to do first."""
    steps = {key: wait_for_lists(key, step, desired, raw) for key, step in steps.items()}
    steps = leave_former_edges(desired, raw, steps)
    for app, each in edges.items():
        balancing = Balancing(desired, raw, seen, each, steps)
        moves: dict[str, str] = {}
        for key, target in desired.targets.items():
            if key[0] == app and target.edges:
                steps[key], move = on_a_host(key, target, balancing)
                moves |= {} if move is None else {key[1]: move}
        for edge in each.targets:
            steps[app, edge] = _merged(steps.get((app, edge)), on_an_edge(edge, balancing, moves))
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
