"""The rollout of one app on one host: its next action. The order of the functions is the order of a rollout.

    start → accept (healthy, then named by the route) → confirm (Traefik has applied it) → stop the others → prune

Each function returns the step that its part needs, or None if that part is done. Nothing is remembered between calls.
Pure.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide import certificates, holding, hooks, starting
from reconciler.decide.case import Case
from reconciler.decide.exposure import exposure_problem
from reconciler.decide.host_faults import give_way_to_host_fault
from reconciler.decide.jobs import schedule_jobs
from reconciler.decide.leaving import leave
from reconciler.decide.notes import converged_with_notes
from reconciler.decide.reasons import named_places, route_difference, way_round_foreign, way_round_taken
from reconciler.decide.routing import attempt_of, check_route, confirm, confirm_drop, is_applied
from reconciler.decide.serving import serving_version
from reconciler.decide.slots import carries, choose_slot, live_slot, shortage, target_identity
from reconciler.decide.unit_changes import refuse_unit_change
from reconciler.decide.warm import go_back, warm_slot
from reconciler.model.action import (
    Blocked,
    Cutover,
    Drift,
    EnableInstance,
    PruneReleases,
    RejectRelease,
    RemoveRoute,
    RepairFiles,
    RestoreRights,
    Soak,
    StartAgain,
    Step,
    WaitHealthy,
)
from reconciler.model.observed import ObservedApp, ObservedHost, Quarantine, Slot
from reconciler.model.target import Target


def next_step(target: Target, seen: ObservedHost) -> Step:
    """Return the next action for this app on this host, Converged, or Blocked with the reason."""
    app = seen.app(target.app)
    if app.foreign:
        return Blocked(
            target.host,
            target.app,
            f"{', '.join(app.foreign)} was not written by reconcile and is left alone",
            way_round_foreign(target),
            kind="foreign",
        )
    if app.taken:
        places = named_places(target.app, app.taken)
        return Blocked(
            target.host,
            target.app,
            f"{places}: already there, but not created by reconcile; nothing was changed",
            way_round_taken(target),
            kind="foreign",
        )
    if step := _lose_no_visitors(target, app):
        return step
    live = live_slot(target, app)
    identity = target_identity(target, app)
    if identity is None:
        return _block_without_release(target, seen)
    crowded = shortage(target, seen, live)
    case = Case(target, seen, app, live, choose_slot(target, app, live, crowded), identity, crowded)
    for part in (
        _restore_rights,
        _enable_at_boot,
        _keep_quarantine,
        starting.keep_off,
        starting.start,
        _repair_files,
        _accept_when_healthy,
        _confirm_slot,
        holding.end_hold,
        _soak,
        _retire_others,
        schedule_jobs,
        _prune,
        certificates.certify,
        refuse_unit_change,
    ):
        if step := part(case):
            return step
    return hooks.after_rollout(case, exposure_problem(case) or converged_with_notes(case))


def _lose_no_visitors(target: Target, app: ObservedApp) -> Step | None:
    """Remove the route if another program has taken its port: that program would get the visitors and their cookies."""
    slot = app.slot(app.route.slot) if app.route else None
    if slot is None or not slot.port_lost or not target.route:
        return None
    return RemoveRoute(target.host, target.app, f"port {slot.name} is taken by {slot.stranger}")


def _block_without_release(target: Target, seen: ObservedHost) -> Blocked:
    serving = serving_version(target, seen)
    reason = f"there is no artifact of version {target.version}, and no release of it on the host"
    next_step = target.missing_next or "build the artifact, or correct artifact.source"
    why, kind = target.missing or reason, target.missing_kind
    return Blocked(target.host, target.app, why, next_step, serving, retryable=target.comes_later, kind=kind)


def _restore_rights(case: Case) -> Step | None:
    """First of all, as it costs nothing: what others can read or write may matter more than anything else."""
    rights = case.app.rights
    if not rights:
        return None
    more = f" and {len(rights) - 1} more" if len(rights) > 1 else ""
    return RestoreRights(*case.where, f"mode or owner was changed: {rights[0]}{more}", drift="rights")


def _enable_at_boot(case: Case) -> Step | None:
    """Enable the routed slot for boot whatever else is under way: a reboot must bring back what visitors reach."""
    live, route = case.live, case.app.route
    if live is None or not case.target.route or not route or route.slot != live.name:
        return None
    masked = any(each.kind == "masked" and live.name in each.slots for each in case.app.unit_changes)
    if live.enabled or masked or not live.running_now:
        return None
    return EnableInstance(*case.where, "not enabled for boot", live.name, live.invocation, drift="enabled")


def _keep_quarantine(case: Case) -> Step | None:
    entry = next((each for each in case.app.quarantined if _concerns(each, case)), None)
    if entry is None or (case.accepted and carries(case.slot, case.target, case.app)):
        return None
    for slot in case.app.slots:
        if slot.previous:  # a pass was cut off before it restored the former version
            return RejectRelease(*case.where, entry.reason, slot.name, case.identity, entry.reason)
        if slot.occupied and (case.live is None or slot.name != case.live.name):
            return leave(case, slot, "its release failed here")
        if slot.prepared and slot.prepared != case.identity and not slot.running_now and slot.state != "failed":
            return StartAgain(*case.where, f"{slot.prepared.version} served before", slot.name)
    return holding.release_visitors(case) or hooks.on_failure(case, entry) or _block_quarantined(case, entry)


def _concerns(entry: Quarantine, case: Case) -> bool:
    return entry.identity == case.identity and entry.attempt in ("", case.target.attempt)


def _block_quarantined(case: Case, entry: Quarantine) -> Blocked:
    log_tail = next((slot.log_tail for slot in case.app.slots if slot.log_tail), ())
    return case.block(
        "quarantined",
        f"version {case.identity.version} {_quarantine_text(entry)}{hooks.failure_of_on_failure(case, entry)}",
        f"reconcile logs {case.target.app}; then commit another version or env (these digests are not tried again)",
        log_tail,
    )


def _quarantine_text(entry: Quarantine) -> str:
    return f"was {entry.reason}" if entry.reason.startswith("rolled back") else f"failed here: {entry.reason}"


def _repair_files(case: Case) -> Step | None:
    """Repair the files of the slot if they differ from what it runs: a restart or a reboot must bring back the same."""
    slot, app = case.slot, case.app
    if slot.on_trial:
        why = "its files were lost; it would not start after a reboot"
        return RepairFiles(*case.where, why, slot.name, case.identity, drift="env") if case.accepted else None
    if slot.prepared != case.identity or not slot.files_intact:
        return RepairFiles(
            *case.where, "its env file or link was changed on the host", slot.name, case.identity, drift="env"
        )
    if app.unit != case.target.unit or not app.unit_intact:
        return RepairFiles(*case.where, "the unit file was changed on the host", slot.name, case.identity, drift="unit")
    return None


def _accept_when_healthy(case: Case) -> Step | None:
    """Accept the instance (route or enable it) once our own health check has found it healthy for long enough."""
    slot, target = case.slot, case.target
    proven = slot.healthy_for_seconds is not None and slot.healthy_for_seconds >= target.minimum_healthy_seconds
    # Behind edges it is enabled first, once it is proven, and they follow.
    proven = proven or bool(target.edges and slot.healthy and slot.enabled and not slot.on_trial and not slot.previous)
    to_be_proven = target.health_path or slot.failure or slot.state == "activating"
    if case.accepted and (proven or slot.healthy or not to_be_proven):
        return None
    if slot.failure:
        return (_soak(case) if case.accepted else None) or _give_up(case, slot.failure)
    if not proven:
        return WaitHealthy(*case.where, (case.accepted and _trouble(slot)) or _health_text(case), slot.name)
    return _accept(case, "healthy")


def _health_text(case: Case) -> str:
    target = case.target
    asked = f"{target.health_path} healthy" if target.health_path else "port open" if target.port_asked else "running"
    otherwise = ", else on_failure" if "on_failure" in target.hooks and not case.accepted else ""
    return f"{asked} for {target.minimum_healthy_seconds:g} s, within {target.healthy_within_seconds:g} s{otherwise}"


def _trouble(slot: Slot) -> str | None:
    """The reason why an accepted instance does not count as healthy, as far as one look shows it, or None."""
    return _crashes(slot) or (f"health path answers {slot.health}" if slot.health else None)


def _crashes(slot: Slot) -> str | None:
    """The restart count of an instance that keeps crashing, as a phrase; None if it listens or was never restarted."""
    if slot.listening or not slot.restarts:
        return None
    at = slot.since.partition(" ")[2]  # without the day of the week
    return f"it keeps crashing: restart attempt {slot.restarts} was at {at}, and systemd keeps trying"


def _give_up(case: Case, failure: str) -> Step:
    slot = case.slot
    if case.accepted:
        where, crashes = f"slot {slot.name} ({case.identity.version})", _crashes(slot)
        reason = crashes or f"it serves but is not healthy: {failure}"
        blocked = case.block(
            "crashing" if crashes else "unhealthy",
            f"{where}: {reason}",
            f"reconcile logs {case.target.app}; it is converged again as soon as it is healthy",
            slot.log_tail,
        )
        return replace(blocked, retryable=True)
    if step := give_way_to_host_fault(case):
        return step
    mark = hooks.mark_of(case.target, "on_failure")
    return RejectRelease(*case.where, failure, slot.name, case.identity, failure, case.app.by_hand, hook=mark)


def _accept(case: Case, reason: str, drift: Drift | None = None) -> Step:
    slot = case.slot
    if not case.target.route:
        return EnableInstance(*case.where, reason, slot.name, slot.invocation, takes_over=case.app.by_hand)
    if blocked := check_route(case):
        return blocked
    before = case.live.name if case.live and case.live.name != slot.name and case.live.occupied else None
    return Cutover(*case.where, reason, slot.name, slot.invocation, before, attempt_of(case, slot.name), drift=drift)


def _confirm_slot(case: Case) -> Step | None:
    """Write the route if it differs from the desired one, then confirm that Traefik has applied it."""
    slot, app, target = case.slot, case.app, case.target
    if not target.route:
        if app.route:
            return RemoveRoute(*case.where, "no route is desired")
        return confirm_drop(case.where, case.seen)
    digest = target.route.digests[slot.name]
    found = app.route
    if found is None or found.digest != digest or not found.as_written:
        by_hand = app.route_deleted or (found is not None and not found.as_written)
        held = holding.is_held(case, slot)
        why = "visitors need not wait any more" if held else route_difference(app, target.route, digest)
        return _accept(case, why, "route" if by_hand else None)
    if is_applied(app.applied, found):
        return None
    return confirm(case, found)


def _soak(case: Case) -> Step | None:
    """Keep the old instance warm for a while after the cutover; go back to it if the new one does not stay healthy."""
    app, target, slot = case.app, case.target, case.slot
    warm = warm_slot(app, slot)
    if not target.soak_seconds or not target.route or not app.route or warm is None:
        return None
    if slot.failure:
        return go_back(case, warm, slot.failure)
    if app.route.age_seconds >= target.soak_seconds:
        return None
    return Soak(*case.where, f"{target.soak_seconds:g} s with slot {warm.name} kept warm", slot.name)


def _retire_others(case: Case) -> Step | None:
    if case.app.by_hand:
        return _accept(case, f"{case.app.by_hand} is replaced")
    for slot in case.app.slots:
        if slot.name == case.slot.name or not slot.occupied:
            continue
        return leave(case, slot, f"replaced by slot {case.slot.name}")
    return None


def _prune(case: Case) -> Step | None:
    """Prune releases that are not among the last `keep_releases`; failed ones go first. By now one slot is in use."""
    app = case.app
    kept = {case.identity.release, *app.releases[-case.target.keep_releases :]}
    run = {job.runs_release for job in app.jobs}  # a run of a job keeps its release until it ends
    old = tuple(name for name in (*app.releases, *app.leftovers) if name not in kept | run)
    if not old:
        return None
    return PruneReleases(*case.where, f"the last {case.target.keep_releases} are kept", old)
