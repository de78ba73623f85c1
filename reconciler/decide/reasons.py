"""Why the wanted and the running instance differ, down to the variable."""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.model.observed import Identity, ObservedApp
from reconciler.model.target import Target, TargetRoute


def difference(before: Identity | None, wanted: Identity, target: Target, app: ObservedApp) -> str:
    """One phrase for a plan line: `version 0.1.0 → 0.2.0`, `env GREETING changed`, `first start`."""
    if before is None:
        return "first start"
    parts = []
    if before.version != wanted.version:
        parts.append(f"version {before.version} → {wanted.version}")
    elif before.release != wanted.release:
        parts.append(f"version {wanted.version} has other bytes")
    if before.env != wanted.env:
        parts.append(_env_difference(before, target, app))
    if before.unit != wanted.unit:
        parts.append("unit settings changed")
    return ", ".join(parts) or "not running"


def route_difference(app: ObservedApp, wanted: TargetRoute, digest: str) -> str:
    """Why the route file is to be written: somebody changed it on the host, or another route is wanted."""
    found = app.route
    if found is None:
        return "the route file was deleted on the host" if app.route_deleted else "the route is new"
    if not found.intact:
        return "the route file was changed on the host"
    if not found.htpasswd_intact:
        return "the file of its passwords was changed on the host"
    changes = _changes(dict(found.parts), dict(wanted.parts)) if found.parts and found.digest != digest else []
    return ", ".join(changes) or "the route is written otherwise by this version of reconcile"


def _changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [
        *(f"{name} changed" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]),
        *(f"{name} added" for name in sorted(new.keys() - old.keys())),
        *(f"{name} removed" for name in sorted(old.keys() - new.keys())),
    ]


def _env_difference(before: Identity, target: Target, app: ObservedApp) -> str:
    slot = next((slot for slot in app.slots if slot.prepared == before and slot.env_keys), None)
    if slot is None:
        return "env changed"
    changed = _changes(dict(slot.env_keys), dict(target.env_keys))
    return "env " + ", ".join(changed) if changed else "env changed"


def cost_of_traefik(case: Case) -> str:
    """What a start of Traefik itself costs visitors: they reach it at once, no route has to be written first."""
    if case.app.by_hand:
        return f"; takes over from {case.app.by_hand}: no service for about a second"
    if case.live and case.live is not case.slot and case.live.running_now:
        return "; both serve until it holds every route: new connections in its first milliseconds may get a 404"
    return ""


def way_round_foreign(target: Target) -> str:
    """What to do about files at our places that are somebody else's."""
    if target.proxy:
        return "reconcile adopt traefik takes it over, for about a second without service; or delete traefik.version"
    return "move it away, or choose another app name"


_NAMED_IN = {"/etc/passwd": "a user {app}", "/etc/group": "a group {app}"}


def named_places(app: str, taken: tuple[str, ...]) -> str:
    """`/var/lib/shop, a user shop`: what is there of all that an app takes at its first start."""
    return ", ".join(_NAMED_IN.get(place, place).format(app=app) for place in taken)


def way_round_taken(target: Target) -> str:
    """What to do about a folder or a user of the app's name that is somebody else's."""
    way = f"move it away, or choose another app name; or, as root, reconcile adopt {target.app}: then the app gets it"
    folder = f"/var/lib/{target.app}"
    return f"{way}, and {folder} moves to /var/lib/private, out of every other user's reach"
