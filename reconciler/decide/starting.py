"""The start of the desired release: install, migrate once, start beside the serving instance or in its place. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide import hooks
from reconciler.decide.case import Case
from reconciler.decide.holding import hold
from reconciler.decide.host_faults import give_way_to_host_fault, refuse_noexec
from reconciler.decide.leaving import leave
from reconciler.decide.reasons import cost_of_traefik, cost_of_two_instances, difference
from reconciler.decide.routing import check_route, check_route_writable
from reconciler.decide.slots import carries
from reconciler.decide.unit_changes import refuse_unit_change
from reconciler.model.action import Blocked, Drift, InstallRelease, Migrate, StartInstance, Step
from reconciler.model.observed import Slot
from reconciler.model.process_name import is_process


def keep_off(case: Case) -> Step | None:
    """Do not start on a port that another program holds, and stop a candidate there: its version has not failed."""
    slot = case.slot
    if not slot.stranger or case.app.by_hand:
        return None
    reason = f"port {slot.name} is taken by {slot.stranger}"
    if slot.running_now and not case.accepted and not slot.previous:
        return leave(case, slot, reason)
    remedy = "stop that program or give the app other ports"
    if case.target.proxy:
        remedy = "stop that program (it may be another Traefik), or choose another api_port in fleet.yaml"
    return replace(case.block("port_taken", reason, remedy), retryable=True)


def start(case: Case) -> Step | None:
    """Return the next step until the desired release runs in its slot, or None."""
    slot, target = case.slot, case.target
    if slot.running_now and slot.running == case.identity:
        return _install(case)
    if slot.failure:  # it was just started and failed; another start would fail the same way
        return None if slot.occupied else give_way_to_host_fault(case)
    if blocked := _refuse_start(case):
        return blocked
    reason = _start_reason(case)
    if installed := _install(case):
        return installed
    if left_over := _find_leftover(case):
        return leave(case, left_over, "left over from another rollout", drift="second_slot")
    if target.migrates and target.migration(case.identity.release) not in case.app.migrated:
        again = f" and value of {', '.join(target.migrate_when)}" if target.migrate_when else ""
        after = ", after before_migrate" if target.before_migrate else ""
        mark = hooks.mark_of(target, "on_failure")
        return Migrate(*case.where, f"once per release{again}, before it starts{after}", case.identity, hook=mark)
    if _replaces_what_runs(case):
        if held := hold(case):
            return held
        reason += _gap(case)
    else:
        reason += cost_of_two_instances(case)
    if target.proxy:
        reason += cost_of_traefik(case)
    takes_over, drift = case.app.by_hand, _drift(case)
    mark = "keep" if drift and target.hooks else hooks.mark_of(target, "after_rollout")
    return StartInstance(*case.where, reason, slot.name, case.identity, takes_over, drift=drift, hook=mark)


def _gap(case: Case) -> str:
    """The words that announce that the former instance ends before its successor starts."""
    if is_process(case.target.app):
        return "; the former one ends first, since it must not run twice"
    why = "only one slot" if case.target.one_slot else case.crowded or "as this rollout began"
    return f"; stop-first, {why}: no service until it is healthy"


def _drift(case: Case) -> Drift | None:
    """Say what was changed on the host, or None if the start belongs to a rollout."""
    live = case.live
    if carries(case.slot, case.target, case.app):
        return "failed" if case.slot.state == "failed" else "stopped"
    if live and live.running and live.prepared == case.identity:
        return "release" if live.running.damaged else "env"
    return None


def _find_leftover(case: Case) -> Slot | None:
    """A slot whose instance of another rollout must stop first, since the slot or the memory is needed; or None."""
    idle = [slot for slot in case.app.slots if slot is not case.live and slot.running_now]
    return next((slot for slot in idle if slot is case.slot or case.crowded), None)


def _install(case: Case) -> Step | None:
    release = case.identity.release
    if release in case.app.damaged:
        why = "its files were changed on the host"
        return InstallRelease(*case.where, why, release, replaces_damaged=True, drift="release")
    return None if release in case.app.releases else InstallRelease(*case.where, "not on the host", release)


def _replaces_what_runs(case: Case) -> bool:
    """True if the instance that serves must leave its slot before the desired release can start in it."""
    before = case.slot.previous or case.slot.running or case.slot.prepared
    return bool(case.slot is case.live and before and before != case.identity)


def _refuse_start(case: Case) -> Blocked | None:
    slot, live = case.slot, case.live
    if blocked := refuse_unit_change(case) or refuse_noexec(case):
        return blocked
    if case.target.route and live is not slot and (blocked := check_route_writable(case)):
        return blocked
    if not carries(slot, case.target, case.app) and (blocked := check_route(case)):
        return blocked
    if case.crowded and live is not slot:  # the ports have changed: it cannot take the serving instance's slot
        return case.block("memory", case.crowded, "free memory, or keep one of the former ports")
    return None


def _start_reason(case: Case) -> str:
    if carries(case.slot, case.target, case.app):
        return {"failed": "failed", "deactivating": "was stopped"}.get(case.slot.state, "not running")
    return difference(
        case.live.running or case.live.prepared if case.live else None, case.identity, case.target, case.app
    )
