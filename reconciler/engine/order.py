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
from reconciler.targets.resolve import HostSite, TargetFiles, removal

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome

Seen = ObservedHost | Unreachable


@dataclass
class Schedule:
    """The jobs of one pass and who waits for whom."""

    targets: list[TargetFiles]
    owner: str
    looks: dict[str, asyncio.Task[Seen]]
    jobs: dict[Key, asyncio.Task[Outcome]] = field(default_factory=dict)
    older: dict[Key, asyncio.Task[Outcome]] = field(default_factory=dict)  # of passes that began before

    def start(self, files: TargetFiles, work: Coroutine[None, None, Outcome]) -> None:
        self.jobs[files.target.app, files.target.host] = asyncio.create_task(work)

    def outcomes(self) -> list[Outcome]:
        return [job.result() for job in self.jobs.values()]

    async def wait_for_host(self, host: str) -> None:
        """Until every job of the host has ended. Called off, it takes the jobs with it."""
        jobs = [job for (_, on), job in self.jobs.items() if on == host]
        await asyncio.gather(*jobs)

    def finished_outcomes(self, host: str) -> list[Outcome]:
        return [
            job.result()
            for (_, on), job in self.jobs.items()
            if on == host and job.done() and not job.cancelled() and not job.exception()
        ]

    async def reason_to_wait(self, files: TargetFiles, seen: Seen) -> str:
        """Why this rollout may not go on now; "" when it may, or when there is no rollout."""
        if isinstance(seen, Unreachable) or not files.app or not _is_rollout(files, seen):
            return ""
        for app in files.app.after:
            if why := await self._why_unready(app, None):
                return f"comes after {app}: {why}"
        if why := await self._why_traefik_unready(files):
            return why
        for host in await self._hosts_before(files):
            if why := await self._why_unready(files.target.app, host):
                return f"waits for host {host}: {why}"
        return ""

    async def _why_traefik_unready(self, files: TargetFiles) -> str:
        """A rollout that visitors shall see waits for the Traefik of its host; putting drift back never does."""
        return await self._why_unready(TRAEFIK, files.target.host) if files.target.route else ""

    async def has_traefik_changed(self, files: TargetFiles, seen: ObservedHost) -> bool:
        """Traefik on the app's host was changed in this pass: what was seen of it before is old.

        A silent one is waited for; who only puts drift back and sees it answer goes on.
        """
        key = TRAEFIK, files.target.host
        job = (self.jobs.get(key) or self.older.get(key)) if files.target.route else None
        return bool(job and (job.done() or seen.traefik) and (await asyncio.shield(job)).actions)

    async def _why_unready(self, app: str, host: str | None) -> str:
        for (name, on), job in [*self.older.items(), *self.jobs.items()]:
            if name == app and on == (host or on):
                end = (await asyncio.shield(job)).end
                if isinstance(end, Blocked):
                    return f"{name} is not converged on {on}"
        return ""

    async def _hosts_before(self, files: TargetFiles) -> list[str]:
        """The hosts that go first. One that cannot be seen is passed over and caught up when it is back."""
        assert files.app is not None
        asked = [name for name in files.app.hosts if name in self.looks]
        reachable = [name for name in asked if isinstance(await asyncio.shield(self.looks[name]), ObservedHost)]
        before: list[str] = []
        for group in groups(reachable, files.app.rollout.batch):
            if files.target.host in group:
                return before
            before += group
        return before

    async def skip_second_migration(self, files: TargetFiles) -> TargetFiles:
        """A release that was migrated from one host is not migrated again from another."""
        target = files.target
        if not target.migrates or not files.app or not target.release:
            return files
        for name in files.app.hosts:
            seen = await asyncio.shield(self.looks[name]) if name in self.looks else None
            first = await self._hosts_before(files)
            migrated = isinstance(seen, ObservedHost) and target.release in seen.app(target.app).migrated
            if name != target.host and (migrated or name in first):
                return replace(files, target=replace(target, migrates=False))
        return files

    async def removals(self, sites: dict[str, HostSite], named: set[Key], *, allow_prune: bool) -> list[TargetFiles]:
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
        former = {files.app.moved_from for files in self.targets if files.app}
        vanished = {app for app, _ in surplus if app not in desired and app not in former}
        too_many = "" if allow_prune else too_many_removals(sorted(vanished), len({app for app, _ in owned}))
        targets = []
        for app, host in surplus:
            why = too_many if app in vanished else await self._why_successor_unready(app)
            targets.append(removal(sites[host], app, why, too_many=app in vanished))
        return targets

    async def _why_successor_unready(self, app: str) -> str:
        names = {app, *(files.target.app for files in self.targets if files.app and files.app.moved_from == app)}
        for name in sorted(names):
            if why := await self._why_unready(name, None):
                return why
        return ""


def _serves(seen: ObservedHost) -> bool:
    return bool(seen.app(TRAEFIK).watched)


def _is_rollout(files: TargetFiles, seen: ObservedHost) -> bool:
    app = seen.app(files.target.app)
    live = live_slot(files.target, app)
    return live is None or not carries(live, files.target, app)
