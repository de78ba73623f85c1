"""The way an instance leaves: its traffic moves away, its open requests end, then it is stopped. Pure."""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.decide.routing import confirm
from reconciler.model.action import Drain, Drift, Step, StopInstance
from reconciler.model.observed import Slot


def leave(case: Case, slot: Slot, reason: str, drift: Drift | None = None) -> Step:
    """Return the next step to stop this instance: confirm that Traefik has moved the traffic, drain, or stop."""
    route, applied = case.app.route, case.app.applied
    if route and applied and applied.slot == slot.name != route.slot:
        return confirm(case, route)
    # Drain whatever number of connections the look before the cutover counted: more may have come in since then.
    serves = slot.running_now and not slot.on_trial  # even if somebody has disabled it meanwhile
    asked = case.target.route or slot.open_connections  # its route may have been taken out with this version
    if serves and asked and not slot.drained and not slot.port_lost:
        return Drain(*case.where, f"{case.target.drain_seconds:g} s at most for open requests", slot.name)
    return StopInstance(*case.where, reason, slot.name, drift=drift)
