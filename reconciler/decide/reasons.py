"""Phrases for plan lines and next steps: what differs, down to the variable, and what to do about it. Pure."""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.model.identity import Identity
from reconciler.model.observed import CHANGED, ObservedApp
from reconciler.model.target import Target, TargetRoute

START_KEY = "RECONCILE_START"  # the start command, as the env file has it


def difference(before: Identity | None, wanted: Identity, target: Target, app: ObservedApp) -> str:
    """Return a phrase for a plan line: `version 0.1.0 → 0.2.0`, `env GREETING changed`, `first start`."""
    if before is None:
        return "first start"
    parts = []
    if CHANGED in (before.env, before.unit):
        return "the files from which it was started were changed on the host"
    if before.damaged and before.release.startswith(f"{wanted.release}~"):
        return "its files were changed on the host"
    if before.version != wanted.version:
        parts.append(f"version {before.version} → {wanted.version}")
    elif before.release != wanted.release:
        parts.append(f"version {wanted.version} has a different artifact")
    if before.env != wanted.env:
        parts.append(_env_difference(before, target, app))
    if before.unit != wanted.unit:
        parts.append("unit settings changed")
    return ", ".join(parts) or "not running"


def route_difference(app: ObservedApp, wanted: TargetRoute, digest: str) -> str:
    """Return the reason to write the route file: it was changed on the host, or the desired route has changed."""
    found = app.route
    if found is None:
        return "the route file was deleted on the host" if app.route_deleted else "the route is new"
    if not found.intact:
        return "the route file was changed on the host"
    if not found.htpasswd_intact:
        return "the route's password file was changed on the host"
    if not found.certificate_intact:
        return "the route's certificate file was changed on the host"
    changes = _changes(dict(found.parts), dict(wanted.parts)) if found.parts and found.digest != digest else []
    return ", ".join(changes) or "this version of reconcile writes the route differently"


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
    old, new = dict(slot.env_keys), dict(target.env_keys)
    start = "start changed" if old.pop(START_KEY, None) != new.pop(START_KEY, None) else ""
    changed = _changes(old, new)
    env = "env " + ", ".join(changed) if changed else "" if start else "env changed"
    return ", ".join(part for part in (start, env) if part)


def cost_of_traefik(case: Case) -> str:
    """The cost of a start of Traefik for visitors, who reach the new instance at once, before any cutover."""
    if case.app.by_hand:
        return f"; takes over from {case.app.by_hand}: no service for about a second"
    if case.live and case.live is not case.slot and case.live.running_now:
        return "; both serve until the new one has every route: new connections may get a 404 for a few milliseconds"
    return ""


def cost_of_two_instances(case: Case) -> str:
    """A phrase if the old instance keeps files open that the new one uses beside it: a database may not bear that."""
    live, target = case.live, case.target
    if not live or live is case.slot or not live.running_now or not live.keeps_files or target.proxy:
        return ""
    seconds = target.minimum_healthy_seconds + target.drain_seconds
    files = f"the files that slot {live.name} keeps open in /var/lib/{target.app}"
    return f"; for about {seconds:g} s both instances use {files} (ports: [{live.name}] if only one may)"


def way_round_foreign(target: Target) -> str:
    """The next step if reconcile's paths contain files that it did not write."""
    if target.proxy:
        return "reconcile adopt traefik takes it over, with no service for about a second; or delete traefik.version"
    return "move it away, or choose another app name"


_NAMED_IN = {"/etc/passwd": "a user {app}", "/etc/group": "a group {app}"}


def named_places(app: str, taken: tuple[str, ...]) -> str:
    """Return the existing paths and names that the first start would take over: `/var/lib/shop, a user shop`."""
    return ", ".join(_NAMED_IN.get(place, place).format(app=app) for place in taken)


def way_round_taken(target: Target) -> str:
    """The next step if a folder or a user of the app's name exists that does not belong to reconcile."""
    way = f"move it away, or choose another app name; or, as root, reconcile adopt {target.app} gives it to the app"
    folder = f"/var/lib/{target.app}"
    return f"{way} and moves {folder} to /var/lib/private, where no other user can reach it"
