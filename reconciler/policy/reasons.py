"""Why the wanted and the running instance differ, down to the variable."""

from __future__ import annotations

from reconciler.model.observed import Identity, ObservedApp
from reconciler.model.wanted import Wanted


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
