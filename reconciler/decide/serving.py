"""Which instance serves: the one answer for plans, status, metrics, messages and the history. Pure."""

from __future__ import annotations

from reconciler.decide.slots import live_slot
from reconciler.model.observed import ObservedApp, ObservedHost, Slot, Unreachable
from reconciler.model.target import Target


def serving(target: Target, app: ObservedApp) -> Slot | None:
    """The slot whose instance visitors reach; None when none does. Of a worker, the accepted instance that runs.

    Visitors reach the slot that Traefik holds. After the cutover that is the former one until Traefik has applied the
    new route, and during the drain it is the new one although both run. While Traefik does not say, the route file
    counts. An instance on trial beside another one serves nobody.
    """
    held = app.applied.slot if target.route and app.applied else ""
    slot = app.slot(held) if held else live_slot(target, app)
    return slot if slot and slot.state == "active" and slot.running else None


def serving_version(target: Target, seen: ObservedHost | Unreachable) -> str | None:
    """The version that serves; None when none does, or when that could not be seen."""
    slot = serving(target, seen.app(target.app)) if isinstance(seen, ObservedHost) else None
    return slot.running.version if slot and slot.running else None
