"""Why the wanted and the running instance differ, down to the variable."""

from __future__ import annotations

from reconciler.model.observed import Identity, ObservedApp
from reconciler.model.wanted import Wanted
from reconciler.policy.case import Case


def difference(before: Identity | None, wanted: Identity, want: Wanted, app: ObservedApp) -> str:
    """One phrase for a plan line: `version 0.1.0 → 0.2.0`, `env GREETING changed`, `first start`."""
    if before is None:
        return "first start"
    parts = []
    if before.version != wanted.version:
        parts.append(f"version {before.version} → {wanted.version}")
    elif before.release != wanted.release:
        parts.append(f"version {wanted.version} has other bytes")
    if before.env != wanted.env:
        parts.append(_env_difference(before, want, app))
    if before.unit != wanted.unit:
        parts.append("unit settings changed")
    return ", ".join(parts) or "not running"


def _env_difference(before: Identity, want: Wanted, app: ObservedApp) -> str:
    slot = next((slot for slot in app.slots if slot.prepared == before and slot.env_keys), None)
    if slot is None:
        return "env changed"
    old, new = dict(slot.env_keys), dict(want.env_keys)
    changed = [
        *(f"{key} changed" for key in sorted(old.keys() & new.keys()) if old[key] != new[key]),
        *(f"{key} added" for key in sorted(new.keys() - old.keys())),
        *(f"{key} removed" for key in sorted(old.keys() - new.keys())),
    ]
    return "env " + ", ".join(changed) if changed else "env changed"


def cost_of_traefik(case: Case) -> str:
    """What a start of Traefik itself costs visitors: they reach it at once, no route has to be written first."""
    if case.app.by_hand:
        return f"; takes over from {case.app.by_hand}: no service for about a second"
    if case.live and case.live is not case.slot and case.live.running_now:
        return "; both serve until it holds every route: new connections in its first milliseconds may get a 404"
    return ""


def way_round_foreign(want: Wanted) -> str:
    """What to do about files at our places that are somebody else's."""
    if want.proxy:
        return "reconcile adopt traefik takes it over, for about a second without service; or delete traefik.version"
    return "move it away, or choose another app name"
