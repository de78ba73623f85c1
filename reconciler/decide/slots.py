"""The slot that serves, the slot that the next instance gets, and the memory for a second copy. Pure."""

from __future__ import annotations

from reconciler.model.identity import Identity
from reconciler.model.observed import EDGE, ObservedApp, ObservedHost, Slot
from reconciler.model.target import Target

MEMORY_HEADROOM = 1.2  # a second copy may need a little more than the first has now


def live_slot(target: Target, app: ObservedApp) -> Slot | None:
    """The slot that serves: the one in the route file, else the one in Traefik's own route, else the enabled one.

    Two slots are enabled if a pass was cut off just before it disabled the old one. Then the slot with the desired
    release counts, since a slot is enabled only after it was healthy.
    """
    if app.route and app.route.slot not in ("", EDGE):
        return app.slot(app.route.slot)
    if app.applied and app.applied.slot not in ("", EDGE):
        return app.slot(app.applied.slot)
    enabled = [slot for slot in app.slots if slot.enabled]
    wanted_first = sorted(enabled, key=lambda slot: (not carries(slot, target, app), slot.name))
    return wanted_first[0] if wanted_first else None


def carries(slot: Slot, target: Target, app: ObservedApp) -> bool:
    """True if the slot runs the desired release, or, if it runs nothing, is prepared to."""
    identity = target_identity(target, app)
    return identity is not None and (slot.running if slot.running_now else slot.prepared) == identity


def has_taken_over(target: Target, app: ObservedApp) -> bool:
    """True if the desired release was accepted in the live slot."""
    live = live_slot(target, app)
    return live is not None and live.previous is None and not live.on_trial and carries(live, target, app)


def choose_slot(target: Target, app: ObservedApp, live: Slot | None, crowded: str | None = None) -> Slot:
    """Return the slot for the desired release: the one that has it already, else one that does not serve.

    With one slot, or if `crowded`, the release replaces the serving instance in its slot. A serving slot whose port was
    lost to another program is given up.
    """
    idle = [app.slot(name) for name in target.slots if live is None or name != live.name]
    lost = live is not None and live.port_lost and any(not slot.stranger for slot in idle)
    if (
        live
        and live.name in target.slots
        and not lost
        and (carries(live, target, app) or target.one_slot or crowded or live.previous)
    ):
        return live
    return next((slot for slot in idle if carries(slot, target, app)), None) or idle[0]


def memory_of_second_copy_kib(live: Slot | None) -> int:
    """The memory that a second copy beside the serving instance may need, in KiB; 0 if none runs."""
    return int(live.memory_kib * MEMORY_HEADROOM) if live and live.running_now else 0


def shortage(target: Target, seen: ObservedHost, live: Slot | None, available_kib: int | None = None) -> str | None:
    """The reason why the host has no memory for a second copy beside the serving instance, or None.

    `available_kib` defaults to the available memory that the look showed.
    """
    app = seen.app(target.app)
    if live is None or not live.running_now:
        return None
    if any(slot.running_now and carries(slot, target, app) for slot in app.slots):
        return None  # it runs already
    needed_kib = memory_of_second_copy_kib(live)
    available_kib = seen.facts.memory_available_kib if available_kib is None else available_kib
    if needed_kib <= available_kib:
        return None
    return f"a second copy needs about {needed_kib // 1024} MiB of memory and {available_kib // 1024} MiB are available"


def target_identity(target: Target, app: ObservedApp) -> Identity | None:
    """The identity that should run; None if neither the artifact nor the host has a release of the desired version."""
    release = target.release or _release_on_host(target.version, app)
    return target.identity(release) if release else None


def _release_on_host(version: str, app: ObservedApp) -> str | None:
    running = [slot.running.release for slot in app.slots if slot.running]
    candidates = [each for each in running + list(reversed(app.releases)) if each.rpartition("-")[0] == version]
    return candidates[0] if candidates else None
