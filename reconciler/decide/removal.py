"""An app that the desired state names no more: traffic leaves, then its instances, then its files."""

from __future__ import annotations

from reconciler.errors import Kind
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Drain,
    RemoveApp,
    RemoveRoute,
    Step,
    StopInstance,
)
from reconciler.model.observed import ObservedHost
from reconciler.model.target import Target

REASON = "the desired state names it no more"


def next_step(target: Target, seen: ObservedHost) -> Step:
    """The next action towards nothing of the app being left on the host."""
    app = seen.app(target.app)
    where = (target.host, target.app)
    if target.app not in seen.apps or app == type(app)():
        return Converged(*where, "", "")
    if target.waits_for:
        kind: Kind = "prune_guard" if target.too_many_removed else "waiting"
        return Blocked(*where, f"is to be removed, and waits: {target.waits_for}", kind=kind)
    if app.route:
        return RemoveRoute(*where, REASON)
    if app.applied:
        if seen.traefik or app.unconfirmed:
            problem = seen.traefik or app.unconfirmed
            reason = f"Traefik still holds its route: {problem}"
            return Blocked(
                *where, reason, "systemctl status 'traefik*' on the host", retryable=bool(seen.traefik), kind="traefik"
            )
        return ConfirmRoute(*where, "Traefik must have let go of it", "", "")
    for slot in app.slots:
        if slot.running_now and slot.open_connections and not slot.drained:
            return Drain(*where, f"{target.drain_seconds:g} s at most for open requests", slot.name)
        if slot.occupied:
            return StopInstance(*where, REASON, slot.name)
    return RemoveApp(*where, REASON)
