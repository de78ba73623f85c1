"""Limits of one host: how many instances may be starting at once, and the memory that they will need. Pure.

A start is the expensive part of a rollout: it needs the processor while the app boots, and memory for a second copy. An
app that only waits, uploads or drains takes no place, so one slow app does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.decide.order import FleetStep
from reconciler.decide.slots import live_slot, memory_of_second_copy_kib, shortage
from reconciler.model.action import ConfirmRoute, Drain, HoldVisitors, Migrate, StartAgain, StartInstance, WaitHealthy
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost
from reconciler.model.target import Target

MOST_AT_ONCE = 4


def places(host: str, desired: DesiredFleet, look: ObservedHost) -> int:
    """The number of instances that may be starting on the host at once: from fleet.yaml, else one per core, up to 4."""
    return desired.rollouts_at_once.get(host) or min(max(look.facts.cores, 1), MOST_AT_ONCE)


def admit(
    targets: Mapping[Key, Target], desired: DesiredFleet, seen: SeenFleet, steps: dict[Key, FleetStep]
) -> dict[Key, FleetStep]:
    """Return the steps, with a Wait for each start that exceeds its host's limits. The longest wait goes first."""
    holders: dict[str, list[Key]] = {}
    for key, step in steps.items():
        if _holds_place(key, step, seen):
            holders.setdefault(key[1], []).append(key)
    result = dict(steps)
    since = {key: place for place, key in enumerate(seen.queue)}
    for key in sorted(steps, key=lambda each: since.get(each, len(since))):
        step, look = steps[key], seen.host(key[1])
        if look is None or not _asks_for_place(key, step, seen):
            continue
        inside = holders.setdefault(key[1], [])
        if why := _why_full(targets, key, inside, desired, look):
            result[key] = Wait(key[1], key[0], why, for_place=True)
        else:
            inside.append(key)
    return result


def _holds_place(key: Key, step: FleetStep, seen: SeenFleet) -> bool:
    """True if the app is starting now, or if its start is already under way."""
    if isinstance(step, WaitHealthy):
        look = seen.host(key[1])
        slot = look.app(key[0]).slot(step.slot) if look else None
        return slot is not None and (slot.on_trial or not slot.enabled)
    if isinstance(step, ConfirmRoute | Drain | StartInstance) and _keeps_visitors_waiting(key, seen):
        return True
    return key in seen.under_way and isinstance(step, Migrate | StartInstance | StartAgain | HoldVisitors)


def _asks_for_place(key: Key, step: FleetStep, seen: SeenFleet) -> bool:
    """True for a start of something new. An app that served and has stopped needs no place: visitors are waiting."""
    if key in seen.under_way or _keeps_visitors_waiting(key, seen):
        return False
    return isinstance(step, Migrate | StartInstance | HoldVisitors) and step.drift is None


def _keeps_visitors_waiting(key: Key, seen: SeenFleet) -> bool:
    """True if the app's visitors wait for the start that is to come: it has its place already."""
    look = seen.host(key[1])
    return look is not None and look.app(key[0]).hold == "armed"


def _why_full(
    targets: Mapping[Key, Target], key: Key, inside: list[Key], desired: DesiredFleet, look: ObservedHost
) -> str:
    if not inside:
        return ""
    names = ", ".join(app for app, _ in inside)
    if len(inside) >= places(key[1], desired, look):
        return f"waits until fewer apps are starting on {key[1]} ({names})"
    target = targets[key]
    promised_kib = sum(_memory_kib(targets[each], look) for each in inside)
    available_kib = look.facts.memory_available_kib - promised_kib
    if not target.one_slot and shortage(target, look, live_slot(target, look.app(target.app)), available_kib):
        return f"waits for the memory that {names} may need"
    return ""


def _memory_kib(target: Target, look: ObservedHost) -> int:
    return memory_of_second_copy_kib(live_slot(target, look.app(target.app)))
