"""Fleet rollback: a version failed on one host of an app, so its other hosts go back to the former version.

The failed version is first marked on these hosts as one that failed there; then the app of an older commit is rolled
out. Every later controller sees the mark and does not try that version again until git changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from reconciler.apply.marks import reject
from reconciler.decide.fleet import Failure
from reconciler.decide.next_action import next_action
from reconciler.errors import ReconcileError, Unexpected
from reconciler.model.action import Blocked
from reconciler.model.desired import App, Desired
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost
from reconciler.model.outcome import Outcome
from reconciler.model.process_name import family_of
from reconciler.model.target import Controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet, close, work_out
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.traefik_app import all_apps


@dataclass
class Rollback:
    """The rollback of one app on the hosts that its failed version has reached. A newer commit of the app ends it."""

    failure: Failure
    opened: OpenFleet
    who: Controller
    files: dict[Key, TargetFiles] = field(default_factory=dict)  # once prepared: the targets of the former version
    blocked: dict[Key, Blocked] = field(default_factory=dict)  # or the reason why a host cannot go back
    prepared: bool = False
    task: asyncio.Task[None] = field(init=False)

    @property
    def keys(self) -> list[Key]:
        return [(self.failure.app.app, host) for host in self.failure.others]

    async def prepare(self, busy: Collection[str]) -> None:
        """Find the former version and mark the failed one. On `busy` hosts the lease is kept: actions are under way."""
        try:
            await self._prepare(busy)
        except Exception as raised:
            error = raised if isinstance(raised, ReconcileError) else Unexpected(raised)
            self._block(f"the rollback failed: {error}", error.next_step)

    async def _prepare(self, busy: Collection[str]) -> None:
        app, opened = self.failure.app, self.opened
        former = await find_former(opened, app, self.who)
        there = app_of(former, app.app) if former else None
        hosts = tuple(host for host in self.failure.others if there and host in there.hosts)
        if former is None or not hosts:  # without a host, work_out would take all of them
            return self._block("there is no former version to roll back to")
        await reject(opened, app.app, self.failure.reason, self.failure.others, self.who, busy)
        # The hosts stay those of the current desired state; only the app goes back.
        old = await work_out(replace(former, fleet=opened.desired.fleet), (app.app,), hosts, opened)
        await close(old, but=opened)
        self.who = replace(self.who, revision=former.revision)
        self.files = dict(old.targets)
        self.blocked = dict(old.refused)

    def _block(self, why: str, next_step: str = "") -> None:
        reason = f"{self.failure.app.version} failed on host {self.failure.host}, and {why}"
        self.blocked = {key: self._blocked(key, reason, self.failure.app.version, next_step) for key in self.keys}

    def _blocked(self, key: Key, reason: str, serving: str, next_step: str = "") -> Blocked:
        app, host = key
        next_step = next_step or f"reconcile logs {app} --host {self.failure.host}; then commit a fix"
        return Blocked(host, app, reason, next_step, serving, kind="rolled_back")

    def is_still_wanted(self, opened: OpenFleet) -> bool:
        """True if the desired state still asks for the version that failed."""
        return all(
            (before := self.opened.targets.get(key)) and (now := opened.targets.get(key)) and before.wants_the_same(now)
            for key in self.keys
        )

    def outcome(self, key: Key, outcome: Outcome) -> Outcome:
        """Return the outcome as that of a rollback: not converged, since git still asks for the failed version."""
        if key in self.blocked:
            return replace(outcome, end=self.blocked[key])
        if isinstance(outcome.end, Blocked) or key not in self.files:
            return outcome
        reason = f"version {self.failure.app.version} was {self.failure.reason}"
        return replace(outcome, end=self._blocked(key, reason, outcome.end.version))


async def find_former(opened: OpenFleet, now: App, who: Controller) -> Desired | None:
    """The newest former desired state in which the app differs from `now` and has not failed here. Raises GitError.

    It has the current secrets: secrets that were rotated since then may no longer work.
    """
    if opened.origin is None:
        return None
    on: dict[str, list[TargetFiles]] = {}  # the app and its processes, on each host
    for files in opened.targets.values():
        if family_of(files.target.app) == now.app:
            on.setdefault(files.target.host, []).append(files)
    looks = await asyncio.gather(
        *(observe(opened.hosts[host], opened.sites[host], files, who) for host, files in on.items())
    )
    seen = {look.host: look for look in looks if isinstance(look, ObservedHost)}
    async for desired in opened.origin.past_states():
        app = app_of(desired, now.app)
        if app is None or _made_of(app) == _made_of(now):
            continue
        desired = replace(desired, secret_files=opened.desired.secret_files)
        old = await work_out(desired, (now.app,), None, opened)
        if not any(_has_failed(files, seen) for files in old.targets.values()):
            return desired
    return None


def _made_of(app: App) -> tuple[object, ...]:
    """What decides which version runs and whether it succeeds: a change of it is another attempt."""
    unit = app.sandbox, app.memory_max, app.cpu_max, app.distribution
    proof = app.migrate, app.before_migrate, app.health
    return app.version, app.env, app.start, app.processes, app.overrides, unit, proof


def app_of(desired: Desired, name: str) -> App | None:
    """Return the app of that name, or None."""
    return next((app for app in all_apps(desired) if app.app == name), None)


def _has_failed(files: TargetFiles, seen: dict[str, ObservedHost]) -> bool:
    look = seen.get(files.target.host)
    step = next_action(files.target, look) if look else None
    return isinstance(step, Blocked) and step.kind == "quarantined"
