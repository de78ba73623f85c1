"""expected(observed, action): what an action is meant to change, as a host would show it afterwards. Pure.

The plan is the decision unfolded over this; the simulator's world is this plus faults; real hosts keep it honest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from reconciler.model.action import (
    AnyAction,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    InstallRelease,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    RepairFiles,
    RetryCertificates,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.observed import (
    AppliedRoute,
    Certificate,
    Identity,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
)
from reconciler.model.wanted import Wanted


def expected(seen: ObservedHost, action: AnyAction, want: Wanted) -> ObservedHost:
    """The observation after `action` went as meant. Evidence of earlier looks is gone, as after a real one."""
    app = forget_evidence(seen.app(action.app))
    if isinstance(action, WaitCertified):
        ends = seen.facts.now_epoch_seconds + 90 * 86_400
        seen = replace(seen, certificates=(*(seen.certificates or ()), Certificate(action.names, ends)))
    return seen.with_app(action.app, _changed(app, action, want))


def forget_evidence(app: ObservedApp) -> ObservedApp:
    """The same app as a fresh look shows it: without what was only watched."""
    slots = tuple(replace(slot, healthy_for_seconds=None, failure="", drained=False) for slot in app.slots)
    return replace(app, slots=slots, unconfirmed="", uncertified="")


def _changed(app: ObservedApp, action: AnyAction, want: Wanted) -> ObservedApp:  # noqa: C901 - one line a case
    match action:
        case InstallRelease():
            others = tuple(each for each in app.releases if each != action.release)
            return replace(app, releases=(*others, action.release), damaged=())
        case Migrate():
            return replace(app, migrated=(*app.migrated, action.identity.release))
        case StartInstance():
            slot = _started(app.slot(action.slot), action, want)
            return app.with_slot(slot) if slot.on_trial else _with_unit(app.with_slot(slot), want)
        case StartAgain():
            slot = app.slot(action.slot)
            return app.with_slot(replace(slot, state="active", running=slot.prepared, invocation=f"{slot.invocation}+"))
        case RepairFiles():
            return _with_unit(app.with_slot(_written(app.slot(action.slot), action.identity, want)), want)
        case WaitHealthy():
            seconds = want.minimum_healthy_seconds
            slot = replace(app.slot(action.slot), state="active", health="200", healthy=True)
            return app.with_slot(
                replace(slot, healthy_for_seconds=seconds, listening=bool(want.health_path) or want.port_asked)
            )
        case Cutover():
            return replace(_accepted(app, action.slot), route=_route(want, action.slot))
        case EnableInstance():
            return replace(_accepted(app, action.slot), by_hand="")
        case ConfirmRoute():
            return replace(app, applied=AppliedRoute(action.slot, action.digest) if action.digest else None)
        case RemoveRoute():
            return replace(app, route=None)
        case Drain():
            return app.with_slot(replace(app.slot(action.slot), open_connections=0, drained=True))
        case Soak():
            route = replace(app.route, age_seconds=int(want.soak_seconds) + 1) if app.route else None
            return replace(app, route=route)
        case GoBack():
            entry = Quarantine(action.failed, action.why, 0, want.attempt)
            app = replace(app, quarantined=(*app.quarantined, entry))
            return replace(_enabled(app, action.slot), route=_route(want, action.slot))
        case RetryCertificates():
            return replace(app, route=_route(want, action.slot))
        case WaitCertified():
            return app
        case RemoveApp():
            return ObservedApp()
        case StopInstance():
            return app.with_slot(Slot(action.slot))
        case RejectRelease():
            return _rejected(app, action, want, seen_at=0)
        case PruneReleases():
            kept = tuple(each for each in app.releases if each not in action.releases)
            return replace(app, releases=kept, leftovers=())
        case _:
            assert_never(action)


def _route(want: Wanted, slot: str) -> RouteFile:
    wanted = want.route
    return (
        RouteFile(slot, wanted.digests[slot], intact=True, parts=wanted.parts) if wanted else RouteFile(slot, "", True)
    )


def _with_unit(app: ObservedApp, want: Wanted) -> ObservedApp:
    return replace(app, unit=want.unit, unit_intact=True)


def _enabled(app: ObservedApp, slot: str) -> ObservedApp:
    return app.with_slot(replace(app.slot(slot), enabled=True, on_trial=False, previous=None))


def _accepted(app: ObservedApp, slot: str) -> ObservedApp:
    """Enabled, and its release counts as the newest: releases are kept by when they served."""
    before = app.slot(slot)
    release = before.prepared.release if before.prepared else ""
    others = tuple(each for each in app.releases if each != release)
    releases = (*others, release) if release in app.releases else app.releases
    unit = before.prepared.unit if before.on_trial and before.prepared else app.unit
    return replace(_enabled(app, slot), releases=releases, unit=unit, unit_intact=app.unit_intact or before.on_trial)


def _sunk(app: ObservedApp, release: str) -> ObservedApp:
    """The first to be pruned, unless a slot needs it."""
    needed = {each.release for slot in app.slots for each in (slot.prepared, slot.previous) if each}
    if release in needed or release not in app.releases:
        return app
    return replace(app, releases=(release, *(each for each in app.releases if each != release)))


def _written(slot: Slot, identity: Identity, want: Wanted) -> Slot:
    return replace(slot, prepared=identity, env_keys=want.env_keys, files_intact=True, on_trial=False, previous=None)


def _started(slot: Slot, action: StartInstance, want: Wanted) -> Slot:
    on_disk = slot.previous if slot.on_trial else slot.prepared
    written = _written(slot, action.identity, want)
    if on_disk != action.identity:
        written = replace(written, on_trial=True, previous=on_disk)
    return replace(
        written,
        state="active",
        running=action.identity,
        invocation=f"{slot.invocation}+",
        restarts=0,
        listening=False,
        stranger="",
        port_lost=False,
        open_connections=0,
        health="",
        healthy=None,
    )


def _rejected(app: ObservedApp, action: RejectRelease, want: Wanted, seen_at: int) -> ObservedApp:
    entry = Quarantine(action.identity, action.why, seen_at, want.attempt)
    before = app.slot(action.slot)
    after = Slot(action.slot)
    if before.previous:
        after = replace(
            after,
            prepared=before.previous,
            running=before.previous,
            state="active",
            enabled=before.enabled,
            invocation=f"{before.invocation}+",
        )
    rejected = replace(app.with_slot(after), quarantined=(*app.quarantined, entry))
    return _sunk(rejected, action.identity.release)
