"""The loop that runs for months: passes on every commit, on drift and on a timer, until it is told to stop.

Level-triggered: an event only wakes it, and everything is looked at afresh. Passes overlap, so that a dead host or an
app that never gets healthy delays nobody: what is under way is left out of the next pass. A newer desired state calls
off what it wants otherwise, and nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from reconciler.clock import now_seconds
from reconciler.decide.fleet import failures
from reconciler.desired_state.origin import Origin
from reconciler.engine.converge import Pass
from reconciler.engine.progress import Progress
from reconciler.engine.rollback import keys_of, roll_back
from reconciler.errors import ReconcileError, Unexpected
from reconciler.host.transport import Transport
from reconciler.logs import log
from reconciler.model.action import Blocked
from reconciler.model.desired import Desired
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet, missing_history, work_out

FIRST_RETRY_SECONDS = 2.0
JITTER = 0.1

Report = Callable[[OpenFleet, list[Outcome], float], None]


@dataclass
class Watch:
    """The state of the loop: connections, what is under way, and the desired state it last read. No progress."""

    origin: Origin
    controller: Callable[[str], Controller]
    progress: Progress
    report: Report
    report_error: Callable[[ReconcileError], None]
    interval_seconds: float
    allow_prune: bool = False
    allow_step_back: bool = False
    remote: str | None = None
    opened: OpenFleet | None = None
    left: list[Transport] = field(default_factory=list)  # of hosts that are gone or reached otherwise now
    passes: dict[asyncio.Task[None], Pass] = field(default_factory=dict)
    desired: Desired | None = None
    who: Controller | None = None
    failures: int = 0
    troubled: set[tuple[str, str]] = field(default_factory=set)  # (app, host) whose last pass ended badly
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    last_good_seconds: float | None = None
    turned_seconds: float = field(default_factory=now_seconds)

    @property
    def last_good_age_seconds(self) -> float | None:
        """Since the last pass in which everything was converged."""
        return None if self.last_good_seconds is None else now_seconds() - self.last_good_seconds

    def wake(self) -> None:
        """Look again soon. What happened is not told: it is read afresh."""
        self.woken.set()

    def stop(self) -> None:
        """End what is under way cleanly, then leave `run`."""
        self.stopping = True
        self.woken.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self.stopping:
            self.woken.clear()
            self.turned_seconds = now_seconds()
            try:
                await self._begin_pass()
            except Exception as error:
                self._report_error(Unexpected(error))
            await self._wait_until_woken()
        self._call_off()
        await asyncio.gather(*self.passes, return_exceptions=True)
        for host in [*self.left, *(self.opened.hosts.values() if self.opened else ())]:
            await host.close()

    async def _begin_pass(self) -> None:
        try:
            desired = await self.origin.read()
            lacking = await missing_history(self.origin, may_lack=self.allow_step_back)
            desired = replace(desired, notes=(*desired.notes, *lacking))
            opened = await work_out(desired, None, None, self.opened, remote=self.remote)
            opened.origin = self.origin
        except ReconcileError as error:  # nothing is changed on the word of a desired state that cannot be used
            self._call_off()
            self._report_error(error)
            return
        if desired.refused is not None:
            self.report_error(desired.refused)
        if self.desired is None or not _is_same(self.desired, desired):
            self.failures = 0
            for under_way in self.passes.values():
                under_way.keep_to(opened.wanted)
        if self.desired is None or self.desired.notes != desired.notes:
            for note in desired.notes:
                log("desired_state.noted", note=note)
        self.desired = desired
        await self._keep_connections(opened)
        self.who = self.who or self.controller(opened.owner)
        busy = {key: under_way for under_way in self.passes.values() for key in under_way.busy}
        for under_way in busy.values():
            under_way.wakes = True
        targets = [files for files in opened.targets if files.key not in busy]
        work = Pass(
            opened.hosts,
            opened.sites,
            targets,
            replace(self.who, owner=opened.owner, revision=desired.revision),
            self.progress,
            self.origin.why_behind,
            prunes=opened.whole and not busy,
            allow_prune=self.allow_prune,
            grant_grace=opened.grant_grace,
            others=self.passes.values,
        )
        task = asyncio.create_task(self._pass(work, opened))
        self.passes[task] = work
        task.add_done_callback(self.passes.pop)

    async def _pass(self, work: Pass, opened: OpenFleet) -> None:
        try:
            await self._run(work, opened)
        except Exception as error:
            self._report_error(Unexpected(error))

    def _report_error(self, error: ReconcileError) -> None:
        self.failures += 1
        self.report_error(error)

    async def _run(self, work: Pass, opened: OpenFleet) -> None:
        started = now_seconds()
        outcomes = await work.run() + [Outcome(refused) for refused in opened.refused]
        if found := failures(opened.desired.apps, [outcome.end for outcome in outcomes]):
            work.held = keys_of(found)
            outcomes = await roll_back(opened, found, outcomes, work.controller, self.progress)
            work.held = set()
        seconds = now_seconds() - started
        called_off = bool(work.called_off)
        failed = self._note_trouble(opened, outcomes)
        again = failed and not self.stopping
        self.failures += again and not called_off
        if called_off or work.wakes or again:
            asyncio.get_running_loop().call_later(self._retry_seconds() if failed else 0, self.wake)
        if not (called_off or failed):
            self.failures = 0
            if not self.troubled:
                self.last_good_seconds = now_seconds()
        self.report(opened, outcomes, seconds)

    def _note_trouble(self, opened: OpenFleet, outcomes: list[Outcome]) -> bool:
        """Keep in mind which apps are not converged; True if this pass found one that may mend by itself."""
        ends = [outcome.end for outcome in outcomes]
        found = {(end.app, end.host) for end in ends if isinstance(end, Blocked) and end.retryable}
        busy = {(files.target.app, files.target.host) for files in opened.targets}
        busy -= {(end.app, end.host) for end in ends}  # of those counts how their last pass ended
        self.troubled = (self.troubled & busy) | found
        return bool(found)

    def _retry_seconds(self) -> float:
        """Sooner than the next timer, later each time: 2, 4, 8 … seconds, and some jitter."""
        return min(self.interval_seconds, FIRST_RETRY_SECONDS * 2.0 ** min(self.failures, 12)) * _jitter()

    def _call_off(self) -> None:
        for work in self.passes.values():
            work.called_off.call_off_everything()

    async def _keep_connections(self, opened: OpenFleet) -> None:
        """Those of hosts that are gone or reached otherwise end with the last pass that uses them."""
        before, self.opened = self.opened, opened
        kept = set(opened.hosts.values())
        self.left += [host for host in (before.hosts.values() if before else ()) if host not in kept]
        used = {host for work in self.passes.values() for host in work.hosts.values()}
        self.left, ended = (
            [host for host in self.left if host in used],
            [host for host in self.left if host not in used],
        )
        for host in ended:
            await host.close()

    async def _wait_until_woken(self) -> None:
        try:
            async with asyncio.timeout(self.interval_seconds * _jitter()):
                await self.woken.wait()
        except TimeoutError:
            return


def _jitter() -> float:
    return 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads load, guards nothing


def _is_same(before: Desired, after: Desired) -> bool:
    return (before.apps, before.fleet, before.secret_files) == (after.apps, after.fleet, after.secret_files)
