"""expected(observed, action): the observation of a host after an action succeeded. Pure.

The plan repeats the decision over these observations, and the simulator adds faults to them. Tests on real hosts check
that they are right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from reconciler.model.action import (
    AnyAction,
    BalanceRoute,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    EndHold,
    GoBack,
    HoldVisitors,
    InstallRelease,
    MarksHook,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    RepairFiles,
    RestoreRights,
    RetryCertificates,
    RunHook,
    ScheduleJobs,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.identity import Identity, damaged_copy
from reconciler.model.observed import (
    EDGE,
    AppliedRoute,
    Certificate,
    HookMark,
    HookName,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
)
from reconciler.model.observed_job import ObservedJob
from reconciler.model.target import Target


def expected_host(seen: ObservedHost, action: AnyAction, target: Target) -> ObservedHost:
    """Return the observation after `action` succeeded, without evidence of earlier looks, as after a real action."""
    app = forget_evidence(seen.app(action.app))
    if isinstance(action, WaitCertified):
        own = target.route.certificate if target.route else None
        ends = own.ends_epoch_seconds if own else seen.facts.now_epoch_seconds + 90 * 86_400
        seen = replace(seen, certificates=(*(seen.certificates or ()), Certificate(action.names, ends)))
    return seen.with_app(action.app, _expected_app(app, action, target))


def forget_evidence(app: ObservedApp) -> ObservedApp:
    """Return the app as a fresh look shows it: without evidence that only watching it gives."""
    slots = tuple(replace(slot, healthy_for_seconds=None, failure=None, drained=False) for slot in app.slots)
    return replace(app, slots=slots, hook_failed=False, unconfirmed=None, uncertified=None)


def _expected_app(app: ObservedApp, action: AnyAction, target: Target) -> ObservedApp:  # noqa: C901 - one line a case
    match action:
        case InstallRelease():
            others = tuple(each for each in app.releases if each != action.release)
            app = replace(app, releases=(*others, action.release), damaged=())
            return _supersede(app, action.release) if action.replaces_damaged else app
        case Migrate():
            return replace(app, migrated=(*app.migrated, target.migration(action.identity.release)))
        case StartInstance():
            slot = _start_slot(app.slot(action.slot), action, target)
            app = _mark_hook(app, "after_rollout", action.identity, action.hook)
            return app.with_slot(slot) if slot.on_trial else _with_unit(app.with_slot(slot), target)
        case StartAgain():
            slot = app.slot(action.slot)
            return app.with_slot(replace(slot, state="active", running=slot.prepared, invocation=f"{slot.invocation}+"))
        case RepairFiles():
            return _with_unit(app.with_slot(_write_slot(app.slot(action.slot), action.identity, target)), target)
        case RestoreRights():
            return replace(app, rights=())
        case WaitHealthy():
            seconds = target.minimum_healthy_seconds
            slot = replace(app.slot(action.slot), state="active", health="200", healthy=True)
            return app.with_slot(
                replace(slot, healthy_for_seconds=seconds, listening=bool(target.health_path) or target.port_asked)
            )
        case Cutover():
            return replace(_accept_slot(app, action.slot), route=_route(target, action))
        case BalanceRoute():
            return replace(app, route=_balanced_route(target, action), route_deleted=False)
        case HoldVisitors():
            return replace(app, route=_held_route(target, action), hold="armed")
        case EndHold():
            return replace(app, hold="")
        case EnableInstance():
            return replace(_accept_slot(app, action.slot), by_hand=None)
        case ConfirmRoute():
            servers = _addresses(app, target) if action.slot == EDGE else ()
            applied = AppliedRoute(action.slot, action.digest, attempt=action.attempt, servers=servers)
            return replace(app, applied=applied if action.digest else None)
        case RemoveRoute():
            return replace(app, route=None)
        case Drain():
            return app.with_slot(replace(app.slot(action.slot), open_connections=0, drained=True))
        case Soak():
            route = replace(app.route, age_seconds=int(target.soak_seconds) + 1) if app.route else None
            return replace(app, route=route)
        case GoBack():
            entry = Quarantine(action.failed, action.why, 0, target.attempt)
            app = replace(app, quarantined=(*app.quarantined, entry))
            app = _mark_hook(app, "on_failure", action.failed, action.hook)
            return replace(_enable_slot(app, action.slot), route=_route(target, action))
        case RetryCertificates():
            return replace(app, route=_route(target, action))
        case WaitCertified():
            return app
        case RemoveApp():
            return ObservedApp()
        case StopInstance():
            return app.with_slot(Slot(action.slot))
        case RejectRelease():
            return _reject_release(app, action, target, seen_at=0)
        case RunHook():
            return replace(app, hook=HookMark(action.hook, action.identity, "done"))
        case PruneReleases():
            kept = tuple(each for each in app.releases if each not in action.releases)
            return replace(app, releases=kept, leftovers=())
        case ScheduleJobs():
            return replace(app, jobs=_schedule_jobs(app, action, target), jobs_unfinished=False)
        case _:
            assert_never(action)


def _mark_hook(app: ObservedApp, hook: HookName, identity: Identity, how: MarksHook) -> ObservedApp:
    return app if how == "keep" else replace(app, hook=HookMark(hook, identity, "due") if how == "due" else None)


def _schedule_jobs(app: ObservedApp, action: ScheduleJobs, target: Target) -> tuple[ObservedJob, ...]:
    jobs = {job.name: replace(job, files=(), intact=True, scheduled=False) for job in app.jobs if job.runs_since}
    for wanted in (job for job in target.jobs if job.name not in action.held_back):
        job = app.job(wanted.name)
        timed = wanted.timed and not job.suspended
        jobs[job.name] = replace(job, files=wanted.files, intact=True, scheduled=timed, half_scheduled=False)
    return tuple(sorted(jobs.values(), key=lambda job: job.name))


def _supersede(app: ObservedApp, release: str) -> ObservedApp:
    """Install a whole copy of the release beside the damaged one, which slots use until they are started anew."""
    app = replace(app, leftovers=(*app.leftovers, damaged_copy(release)))
    for slot in app.slots:
        if slot.running and slot.running.release == release:
            slot = replace(slot, running=replace(slot.running, release=damaged_copy(release)))
        if slot.prepared and slot.prepared.release == release and not slot.on_trial:
            slot = replace(slot, files_intact=False)
        app = app.with_slot(slot)
    return app


def _route(target: Target, action: Cutover | GoBack | RetryCertificates) -> RouteFile:
    digest, parts = (target.route.digests[action.slot], target.route.parts) if target.route else ("", ())
    return RouteFile(action.slot, digest, intact=True, parts=parts, attempt=action.attempt)


def _held_route(target: Target, action: HoldVisitors) -> RouteFile:
    digest, parts = (target.route.held[action.slot], target.route.parts) if target.route else ("", ())
    return RouteFile(action.slot, digest, intact=True, parts=parts, attempt=action.attempt)


def _balanced_route(target: Target, action: BalanceRoute) -> RouteFile:
    digest, parts = (target.route.digests[EDGE], target.route.parts) if target.route else ("", ())
    return RouteFile(EDGE, digest, intact=True, parts=parts, attempt=action.attempt, servers=action.servers)


def _addresses(app: ObservedApp, target: Target) -> tuple[str, ...]:
    places = dict(target.places)
    return tuple(f"{places[host]}:{slot}" for host, slot in (app.route.servers if app.route else ()) if host in places)


def _with_unit(app: ObservedApp, target: Target) -> ObservedApp:
    return replace(app, unit=target.unit, unit_intact=True)


def _enable_slot(app: ObservedApp, slot: str) -> ObservedApp:
    return app.with_slot(replace(app.slot(slot), enabled=True, on_trial=False, previous=None))


def _accept_slot(app: ObservedApp, slot: str) -> ObservedApp:
    """Enable the slot and move its release to the end of the list: pruning keeps the releases that served last."""
    before = app.slot(slot)
    release = before.prepared.release if before.prepared else ""
    others = tuple(each for each in app.releases if each != release)
    releases = (*others, release) if release in app.releases else app.releases
    unit = before.prepared.unit if before.on_trial and before.prepared else app.unit
    return replace(
        _enable_slot(app, slot), releases=releases, unit=unit, unit_intact=app.unit_intact or before.on_trial
    )


def _sink_release(app: ObservedApp, release: str) -> ObservedApp:
    """Move the release to the front of the list, to be pruned first, unless a slot needs it."""
    needed = {each.release for slot in app.slots for each in (slot.prepared, slot.previous) if each}
    if release in needed or release not in app.releases:
        return app
    return replace(app, releases=(release, *(each for each in app.releases if each != release)))


def _write_slot(slot: Slot, identity: Identity, target: Target) -> Slot:
    return replace(slot, prepared=identity, env_keys=target.env_keys, files_intact=True, on_trial=False, previous=None)


def _start_slot(slot: Slot, action: StartInstance, target: Target) -> Slot:
    on_disk = slot.previous if slot.on_trial else slot.prepared
    written = _write_slot(slot, action.identity, target)
    if on_disk != action.identity:
        written = replace(written, on_trial=True, previous=on_disk)
    return replace(
        written,
        state="active",
        running=action.identity,
        invocation=f"{slot.invocation}+",
        restarts=0,
        listening=False,
        stranger=None,
        port_lost=False,
        open_connections=0,
        health="",
        healthy=None,
    )


def _reject_release(app: ObservedApp, action: RejectRelease, target: Target, seen_at: int) -> ObservedApp:
    entry = Quarantine(action.identity, action.why, seen_at, target.attempt)
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
    app = _mark_hook(app, "on_failure", action.identity, action.hook)
    rejected = replace(app.with_slot(after), quarantined=(*app.quarantined, entry))
    return _sink_release(rejected, action.identity.release)
