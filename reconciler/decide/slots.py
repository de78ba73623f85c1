"""Which slot serves, and which one the next instance gets."""

from __future__ import annotations

from reconciler.model.observed import Identity, ObservedApp, ObservedHost, Slot
from reconciler.model.wanted import Wanted

MEMORY_HEADROOM = 1.2  # a second copy may need a little more than the first has now


def live_slot(want: Wanted, app: ObservedApp) -> Slot | None:
    """The slot that serves: the one the route names, else what Traefik still holds, else the enabled one.

    Between two enabled slots (a cut just before the old one was disabled) the one that runs the wanted release
    counts, since a slot is enabled only after it was proven.
    """
    if app.route and app.route.slot:
        return app.slot(app.route.slot)
    if app.applied and app.applied.slot:
        return app.slot(app.applied.slot)
    enabled = [slot for slot in app.slots if slot.enabled]
    wanted_first = sorted(enabled, key=lambda slot: (not carries(slot, want, app), slot.name))
    return wanted_first[0] if wanted_first else None


def carries(slot: Slot, want: Wanted, app: ObservedApp) -> bool:
    """The slot runs what is wanted, or, when it runs nothing, would."""
    identity = wanted_identity(want, app)
    return identity is not None and (slot.running if slot.running_now else slot.prepared) == identity


def chosen_slot(want: Wanted, app: ObservedApp, live: Slot | None, crowded: str = "") -> Slot:
    """Where the wanted release runs or shall run: where it is already, else a slot that does not serve.

    With one slot, or `crowded`, it takes the place of what serves. One whose port was lost to somebody else gives way.
    """
    idle = [app.slot(name) for name in want.slots if live is None or name != live.name]
    lost = live is not None and live.port_lost and any(not slot.stranger for slot in idle)
    if (
        live
        and live.name in want.slots
        and not lost
        and (carries(live, want, app) or want.one_slot or crowded or live.previous)
    ):
        return live
    return next((slot for slot in idle if carries(slot, want, app)), None) or idle[0]


def shortage(want: Wanted, seen: ObservedHost, live: Slot | None) -> str:
    """Why the host has no room for a second copy beside the one that serves; "" when it has, or needs none."""
    app = seen.app(want.app)
    if live is None or not live.running_now or carries(live, want, app):
        return ""
    if any(slot.running_now and carries(slot, want, app) for slot in app.slots):
        return ""  # it runs already
    needed_kib, available_kib = int(live.memory_kib * MEMORY_HEADROOM), seen.facts.memory_available_kib
    if needed_kib <= available_kib:
        return ""
    return f"a second copy needs about {needed_kib // 1024} MiB of memory and {available_kib // 1024} MiB are available"


def wanted_identity(want: Wanted, app: ObservedApp) -> Identity | None:
    """What shall run, or None when no release of the wanted version can be named."""
    release = want.release or _release_on_host(want.version, app)
    return want.identity(release) if release else None


def _release_on_host(version: str, app: ObservedApp) -> str | None:
    running = [slot.running.release for slot in app.slots if slot.running]
    candidates = [each for each in running + list(reversed(app.releases)) if each.rpartition("-")[0] == version]
    return candidates[0] if candidates else None
