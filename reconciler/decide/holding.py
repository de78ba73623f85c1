"""Visitors wait while the only instance of an app is replaced, until its successor is healthy. Pure.

    hold (the route names the place where they wait) → confirm → drain → start → wait → cutover → confirm → unhold

Whatever is cut off in between does no harm: after a minute, or a reboot, that place hands every connection on.
"""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.decide.routing import confirm, is_applied, next_attempt
from reconciler.model.action import Cutover, Drain, EndHold, HoldVisitors, Step, WaitHealthy
from reconciler.model.observed import Slot

DRAIN_SECONDS = 2.0  # visitors wait meanwhile, so it is short; most connections that stay open carry no request


def is_held(case: Case, slot: Slot) -> bool:
    """True if the route file lets the visitors of this slot wait."""
    route, found = case.target.route, case.app.route
    return bool(route and found and found.as_written and found.digest == route.held.get(slot.name))


def hold(case: Case) -> Step | None:
    """Return the next step before the instance that serves is replaced in its slot, or None.

    Its route must be what is desired but for that: the new version's domains come when it is proven.
    """
    slot, app, route = case.slot, case.app, case.target.route
    if not route or not app.route or case.seen.traefik or app.unconfirmed or slot.state != "active":
        return None
    if not is_held(case, slot):
        found = app.route.digest == route.digests[slot.name] and app.route.as_written
        if slot.name not in route.held or app.hold == "refused" or not found or not is_applied(app.applied, app.route):
            return None
        why = "visitors wait until the new instance is healthy, a minute at most"
        return HoldVisitors(*case.where, why, slot.name, slot.invocation, next_attempt(case))
    if not is_applied(app.applied, app.route):
        return confirm(case, app.route)
    seconds = min(case.target.drain_seconds, DRAIN_SECONDS)
    if slot.drained or not seconds or slot.on_trial:
        return None
    return Drain(*case.where, f"{seconds:g} s at most for open requests", slot.name, within_seconds=seconds)


def end_hold(case: Case) -> Step | None:
    """Return the step that removes the place where visitors waited, once the route does not name it; or None."""
    held = case.live is not None and is_held(case, case.live)
    return EndHold(*case.where, "no visitor waits any more") if case.app.hold == "armed" and not held else None


def release_visitors(case: Case) -> Step | None:
    """Return the next step until visitors reach the version that came back after another one failed, or None."""
    live, found = case.live, case.app.route
    if live is None or found is None or not live.running_now:
        return None
    if is_held(case, live):
        asked = case.target.health_path or case.target.port_asked
        if asked and not live.healthy and not live.failure:
            return WaitHealthy(*case.where, "visitors wait for the version that came back", live.name)
        why = "visitors need not wait any more"
        return Cutover(*case.where, why, live.name, live.invocation, None, next_attempt(case))
    if case.app.hold != "armed":
        return None
    return end_hold(case) if is_applied(case.app.applied, found) else confirm(case, found)
