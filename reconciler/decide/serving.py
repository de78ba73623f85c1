"""The instance that serves, decided in one place for plans, status, metrics, messages and the history. Pure."""

from __future__ import annotations

from reconciler.decide.slots import live_slot
from reconciler.model.observed import EDGE, ObservedApp, ObservedHost, Slot, Unreachable
from reconciler.model.target import Target


def serving(target: Target, app: ObservedApp) -> Slot | None:
    """The slot whose instance visitors reach, or None. For a worker, the accepted instance that runs.

    Visitors reach the slot in the route that Traefik has applied. After the cutover that is the former slot until
    Traefik has applied the new route; during the drain it is the new slot, although both run. If Traefik does not show
    its route, the route file counts. An instance on trial beside another one serves no visitor.
    """
    held = app.applied.slot if target.route and app.applied and app.applied.slot != EDGE else ""
    slot = app.slot(held) if held else live_slot(target, app)
    return slot if slot and slot.state == "active" and slot.running else None


def serving_version(target: Target, seen: ObservedHost | Unreachable) -> str | None:
    """The version that serves; None if none does, or if the host is unreachable."""
    slot = serving(target, seen.app(target.app)) if isinstance(seen, ObservedHost) else None
    return slot.running.version if slot and slot.running else None
