"""Going back to what an app was before: one of its hosts could not take a version, or a person wants it so.

A rollback is the rollout of an older commit's app, after the version that is given up was marked on the hosts as one
that failed there. Whoever comes next sees the mark and leaves it so, until git changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from reconciler.apply.marks import reject
from reconciler.decide.fleet import Failure
from reconciler.decide.next_action import next_action
from reconciler.engine.calling_off import Key
from reconciler.engine.converge import Pass
from reconciler.engine.progress import Progress
from reconciler.errors import ReconcileError
from reconciler.model.action import Blocked
from reconciler.model.desired import App, Desired
from reconciler.model.observed import ObservedHost
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet, close, work_out
from reconciler.targets.resolve import TargetFiles
from reconciler.targets.traefik_app import all_apps


def keys_of(found: list[Failure]) -> set[Key]:
    """(app, host) of what is about to be rolled back."""
    return {(failure.app.app, host) for failure in found for host in failure.others}


async def roll_back(
    opened: OpenFleet, found: list[Failure], outcomes: list[Outcome], who: Controller, progress: Progress
) -> list[Outcome]:
    """The outcomes, with those of the hosts that were rolled back instead."""
    for failure in found:
        ended = await _roll_back_one(opened, failure, who, progress)
        outcomes = [ended.get((each.end.app, each.end.host), each) for each in outcomes]
    return outcomes


async def _roll_back_one(
    opened: OpenFleet, failure: Failure, who: Controller, progress: Progress
) -> dict[Key, Outcome]:
    name, version = failure.app.app, failure.app.version
    try:
        before = await find_former(opened, failure.app, who)
        if before is None:
            reason = f"{version} failed on host {failure.host}, and there is no former version to go back to"
            return {(name, host): _blocked_outcome(failure, host, reason, version) for host in failure.others}
        await reject(opened, name, failure.reason, failure.others, who)
        there = app_of(before, name)
        hosts = [host for host in failure.others if there and host in there.hosts]
        old = await work_out(before, (name,), tuple(hosts), opened)
        work = Pass(old.hosts, old.sites, old.targets, replace(who, revision=before.revision), progress)
        try:
            ended = await work.run() + [Outcome(refused) for refused in old.refused]
        finally:
            await close(old, but=opened)
    except ReconcileError as error:
        reason = f"{version} failed on host {failure.host}, and going back did not work: {error}"
        return {
            (name, host): _blocked_outcome(failure, host, reason, version, error.next_step) for host in failure.others
        }
    return {(name, each.end.host): _rolled_back_outcome(failure, each) for each in ended}


def _rolled_back_outcome(failure: Failure, ended: Outcome) -> Outcome:
    if isinstance(ended.end, Blocked):
        return ended
    reason = f"version {failure.app.version} was {failure.reason}"
    return replace(_blocked_outcome(failure, ended.end.host, reason, ended.end.version), actions=ended.actions)


def _blocked_outcome(failure: Failure, host: str, reason: str, serving: str, next_step: str = "") -> Outcome:
    next_step = next_step or f"reconcile logs {failure.app.app} --host {failure.host}; then commit a fix"
    return Outcome(Blocked(host, failure.app.app, reason, next_step, serving, kind="rolled_back"))


async def find_former(opened: OpenFleet, now: App, who: Controller) -> Desired | None:
    """The newest older desired state in which the app was something else that has not failed here. Raises GitError.

    Its secrets are those of now: what was rotated since then may open nothing any more.
    """
    if opened.origin is None:
        return None
    targets = [files for files in opened.targets if files.target.app == now.app]
    looks = await asyncio.gather(
        *(observe(opened.hosts[t.target.host], opened.sites[t.target.host], [t], who) for t in targets)
    )
    seen = {look.host: look for look in looks if isinstance(look, ObservedHost)}
    async for desired in opened.origin.past_states():
        app = app_of(desired, now.app)
        if app is None or (app.version, app.env, app.start) == (now.version, now.env, now.start):
            continue
        desired = replace(desired, secret_files=opened.desired.secret_files)
        old = await work_out(desired, (now.app,), None, opened)
        if not any(_has_failed(files, seen) for files in old.targets):
            return desired
    return None


def app_of(desired: Desired, name: str) -> App | None:
    """The app of that name."""
    return next((app for app in all_apps(desired) if app.app == name), None)


def _has_failed(files: TargetFiles, seen: dict[str, ObservedHost]) -> bool:
    look = seen.get(files.target.host)
    step = next_action(files.target, look) if look else None
    return isinstance(step, Blocked) and step.kind == "quarantined"
