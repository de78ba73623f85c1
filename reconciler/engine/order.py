"""What must wait for what: other hosts of an app, apps it comes after, and removals until nothing needs the old app.

A rollout waits, also for what an older pass is still at; putting drift back does not: it concerns its own host only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.decide.fleet import groups
from reconciler.decide.guards import too_many_removals
from reconciler.decide.slots import carries, live_slot
from reconciler.engine.calling_off import Key
from reconciler.model.action import Blocked
from reconciler.model.observed import TRAEFIK, ObservedHost, Unreachable
from reconciler.targets.resolve import Site, Target, removal

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome

Seen = ObservedHost | Unreachable


@dataclass
class Order:
    """The jobs of one pass and who waits for whom."""

    targets: list[Target]
    owner: str
    looks: dict[str, asyncio.Task[Seen]]
    jobs: dict[Key, asyncio.Task[Outcome]] = field(default_factory=dict)
    older: dict[Key, asyncio.Task[Outcome]] = field(default_factory=dict)  # of passes that began before

    def start(self, target: Target, work: Coroutine[None, None, Outcome]) -> None:
        self.jobs[target.wanted.app, target.wanted.host] = asyncio.create_task(work)

    def outcomes(self) -> list[Outcome]:
        return [job.result() for job in self.jobs.values()]

    async def ended(self, host: str) -> None:
        """Until every job of the host has ended. Called off, it takes the jobs with it."""
        jobs = [job for (_, on), job in self.jobs.items() if on == host]
        await asyncio.gather(*jobs)

    def finished(self, host: str) -> list[Outcome]:
        return [
            job.result()
            for (_, on), job in self.jobs.items()
            if on == host and job.done() and not job.cancelled() and not job.exception()
        ]

    async def reason_to_wait(self, target: Target, seen: Seen) -> str:
        """Why this rollout may not go on now; "" when it may, or when there is no rollout."""
        if isinstance(seen, Unreachable) or not target.app or not _is_rollout(target, seen):
            return ""
        for app in target.app.after:
            if why := await self._unready(app, None):
                return f"comes after {app}: {why}"
        if why := await self._traefik_unready(target):
            return why
        for host in await self._hosts_before(target):
            if why := await self._unready(target.wanted.app, host):
                return f"waits for host {host}: {why}"
        return ""

    async def _traefik_unready(self, target: Target) -> str:
        """A rollout that visitors shall see waits for the Traefik of its host; putting drift back never does."""
        return await self._unready(TRAEFIK, target.wanted.host) if target.wanted.route else ""

    async def traefik_changed(self, target: Target, seen: ObservedHost) -> bool:
        """Traefik on the app's host was changed in this pass: what was seen of it before is old.

        A silent one is waited for; who only puts drift back and sees it answer goes on.
        """
        key = TRAEFIK, target.wanted.host
        job = (self.jobs.get(key) or self.older.get(key)) if target.wanted.route else None
        return bool(job and (job.done() or seen.traefik) and (await asyncio.shield(job)).actions)

    async def _unready(self, app: str, host: str | None) -> str:
        for (name, on), job in [*self.older.items(), *self.jobs.items()]:
            if name == app and on == (host or on):
                end = (await asyncio.shield(job)).end
                if isinstance(end, Blocked):
                    return f"{name} is not converged on {on}"
        return ""

    async def _hosts_before(self, target: Target) -> list[str]:
        """The hosts that go first. One that cannot be seen is passed over and caught up when it is back."""
        assert target.app is not None
        asked = [name for name in target.app.hosts if name in self.looks]
        reachable = [name for name in asked if isinstance(await asyncio.shield(self.looks[name]), ObservedHost)]
        before: list[str] = []
        for group in groups(reachable, target.app.rollout.batch):
            if target.wanted.host in group:
                return before
            before += group
        return before

    async def without_second_migration(self, target: Target) -> Target:
        """A release that was migrated from one host is not migrated again from another."""
        wanted = target.wanted
        if not wanted.migrates or not target.app or not wanted.release:
            return target
        for name in target.app.hosts:
            seen = await asyncio.shield(self.looks[name]) if name in self.looks else None
            first = await self._hosts_before(target)
            migrated = isinstance(seen, ObservedHost) and wanted.release in seen.app(wanted.app).migrated
            if name != wanted.host and (migrated or name in first):
                return replace(target, wanted=replace(wanted, migrates=False))
        return target

    async def removals(self, sites: dict[str, Site], named: set[Key], *, allow_prune: bool) -> list[Target]:
        """What is ours on a host and not `named` there. Waits for every look, and for what is to replace it."""
        looks = {name: await asyncio.shield(look) for name, look in self.looks.items()}
        owned = {
            (name, host)
            for host, seen in looks.items()
            if isinstance(seen, ObservedHost)
            for name, app in seen.apps.items()
            if app.owner == self.owner != "-"
        }
        # Who has routes on a host needs its Traefik, whoever looks after it from now on.
        served = {(TRAEFIK, host) for host, seen in looks.items() if isinstance(seen, ObservedHost) and _serves(seen)}
        surplus = sorted(owned - named - served)
        desired = {app for app, _ in named}
        former = {target.app.moved_from for target in self.targets if target.app}
        vanished = {app for app, _ in surplus if app not in desired and app not in former}
        too_many = "" if allow_prune else too_many_removals(sorted(vanished), len({app for app, _ in owned}))
        targets = []
        for app, host in surplus:
            why = too_many if app in vanished else await self._successor_unready(app)
            targets.append(removal(sites[host], app, why, too_many=app in vanished))
        return targets

    async def _successor_unready(self, app: str) -> str:
        names = {app, *(target.wanted.app for target in self.targets if target.app and target.app.moved_from == app)}
        for name in sorted(names):
            if why := await self._unready(name, None):
                return why
        return ""


def _serves(seen: ObservedHost) -> bool:
    return bool(seen.app(TRAEFIK).watched)


def _is_rollout(target: Target, seen: ObservedHost) -> bool:
    app = seen.app(target.wanted.app)
    live = live_slot(target.wanted, app)
    return live is None or not carries(live, target.wanted, app)
