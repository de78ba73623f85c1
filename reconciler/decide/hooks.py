"""The hooks that run when a rollout has ended: `after_rollout` and `on_failure`. Pure.

The action that begins or rejects a rollout on a host leaves a mark there: the hook is due. It runs at most once: the
mark says `begun` before the hook does. An app that already ran when its hook was written down has no mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide.case import Case
from reconciler.decide.order import FleetStep, runs_as_desired
from reconciler.decide.slots import target_identity
from reconciler.model.action import (
    Blocked,
    Converged,
    GoBack,
    MarksHook,
    Migrate,
    RejectRelease,
    RunHook,
    StartInstance,
    Step,
)
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import HOOKS, HookName, Quarantine, Unreachable
from reconciler.model.process_name import family_of
from reconciler.model.target import Target


def mark_of(target: Target, hook: HookName) -> MarksHook:
    """What an action of a rollout does about the mark of this hook, as far as one host can tell."""
    return "due" if hook in target.hooks else "none"


def on_failure(case: Case, entry: Quarantine) -> Step | None:
    """Run `on_failure` with the version that failed, if it is due."""
    mark = case.app.hook
    if mark is None or (mark.hook, mark.identity) != ("on_failure", entry.identity):
        return None
    if mark.state not in ("due", "begun") or "on_failure" not in case.target.hooks:
        return None
    if entry.identity.release not in case.app.releases:
        return None
    return RunHook(*case.where, entry.reason, "on_failure", entry.identity)


def failure_of_on_failure(case: Case, entry: Quarantine) -> str:
    """Return how `on_failure` itself failed, to be added to why the rollout failed; "" if it did not."""
    mark = case.app.hook
    if mark is None or (mark.hook, mark.identity, mark.state) != ("on_failure", entry.identity, "failed"):
        return ""
    return f"; on_failure did not work either: {mark.reason or 'no reason given'}"


def after_rollout(case: Case, rest: Converged | Blocked) -> Step:
    """Run `after_rollout` if it is due, or report that it failed; otherwise return `rest`."""
    mark, target = case.app.hook, case.target
    if mark is None or (mark.hook, mark.identity) != ("after_rollout", case.identity):
        return rest
    if "after_rollout" not in target.hooks or mark.state == "done":
        return rest
    if mark.state != "failed":
        each = "once on each host" if "after_rollout" in target.hooks_each_host else "once per rollout"
        return RunHook(*case.where, each, "after_rollout", case.identity, otherwise=rest)
    reason = f"after_rollout failed: {mark.reason or 'no reason given'}"
    next_step = f"journalctl -u {target.app}-hook; run it by hand if it matters: it runs again at the next rollout only"
    if case.app.hook_failed:
        log_tail = next((slot.log_tail for slot in case.app.slots if slot.log_tail), ())
        return case.block("hook", f"version {case.identity.version} runs, but {reason}", next_step, log_tail)
    if isinstance(rest, Blocked):
        return rest
    notes, steps = [rest.note, reason], [rest.next_step, next_step]
    return replace(rest, note="; ".join(filter(None, notes)), next_step="; ".join(filter(None, steps)))


def once_per_rollout(desired: DesiredFleet, seen: SeenFleet, steps: Mapping[Key, FleetStep]) -> dict[Key, FleetStep]:
    """Return the steps, with a hook made due on one host only, unless it runs on each.

    That is the host that began the rollout, or the one where it failed first.
    """
    result = dict(steps)
    for app in desired.apps.values():
        for hook in HOOKS if app.after_rollout or app.on_failure else ():
            owner = _owner(app, hook, desired, seen)
            for key in ((app.app, host) for host in app.hosts):
                step = result.get(key)
                if key in seen.under_way or not _makes_due(step, hook) or hook in desired.targets[key].hooks_each_host:
                    continue
                owner = owner or key[1]
                if key[1] != owner:
                    result[key] = _with_mark(step, "none")
    return result


def after_all_hosts(desired: DesiredFleet, seen: SeenFleet, steps: Mapping[Key, FleetStep]) -> dict[Key, FleetStep]:
    """Return the steps, with an `after_rollout` held back until the app has nothing left to do, on any host.

    Hosts that cannot be reached are not waited for. If the version is stuck on another host, the hook stays due.
    """
    result = dict(steps)
    for key, step in steps.items():
        if not isinstance(step, RunHook) or step.hook != "after_rollout" or key in seen.under_way:
            continue
        app, host = key
        others = [(other, steps[other]) for other in desired.targets if family_of(other[0]) == app and other in steps]
        late = [(other, each) for other, each in others if not _rests(each, other[1], seen)]
        if any(isinstance(each, Blocked) for _, each in late) and step.otherwise:
            result[key] = step.otherwise
        elif late:
            (name, place), _ = late[0]
            result[key] = Wait(host, app, f"after_rollout waits for {name} on {place}")
    return result


def _owner(app: App, hook: HookName, desired: DesiredFleet, seen: SeenFleet) -> str | None:
    """The host that has the mark of this hook for what is desired now, or gets it from an action under way."""
    for host in app.hosts:
        target, look = desired.targets.get((app.app, host)), seen.host(host)
        if _makes_due(seen.under_way.get((app.app, host)), hook):
            return host
        mark = look.app(app.app).hook if look else None
        if (
            target
            and look
            and mark
            and mark.hook == hook
            and mark.identity == target_identity(target, look.app(app.app))
        ):
            return host
    return None


def _makes_due(step: FleetStep | None, hook: HookName) -> bool:
    if isinstance(step, StartInstance):
        return hook == "after_rollout" and step.hook == "due"
    return isinstance(step, Migrate | GoBack | RejectRelease) and hook == "on_failure" and step.hook == "due"


def _with_mark(step: FleetStep | None, mark: MarksHook) -> FleetStep:
    assert isinstance(step, StartInstance | Migrate | GoBack | RejectRelease)
    return replace(step, hook=mark)


def _rests(step: FleetStep, host: str, seen: SeenFleet) -> bool:
    """True if this host keeps no `after_rollout` waiting."""
    return runs_as_desired(step) or isinstance(seen.hosts.get(host), Unreachable)
