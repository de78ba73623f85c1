"""The daemon's loop: a turn on every commit, on drift and on a timer, until it is stopped.

Level-triggered: an event only wakes the loop, and its engine looks at everything afresh. A turn begins while older ones
go on, so that a dead host, or an app that never becomes healthy, does not delay the others. A newer desired state calls
off the actions that it no longer wants, and no others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from reconciler.clock import now_seconds
from reconciler.desired_state.origin import Origin
from reconciler.engine.engine import Engine, Report
from reconciler.engine.progress import Progress
from reconciler.errors import ReconcileError, Unexpected
from reconciler.host.transport import Transport
from reconciler.logs import log
from reconciler.model.action import Blocked
from reconciler.model.desired import Desired
from reconciler.model.fleet import Key
from reconciler.model.outcome import Outcome
from reconciler.model.shard import Shard
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet, missing_history, work_out

FIRST_RETRY_SECONDS = 2.0
JITTER = 0.1
NO_FAILURE = ("waiting", "suspended", "locked")  # kinds of Blocked that are no trouble of the app


@dataclass
class Watch:
    """The state of the loop: the last desired state, the engine, and recent failures. It stores no progress."""

    origin: Origin
    controller: Callable[[str], Controller]
    progress: Progress
    report: Report
    report_error: Callable[[ReconcileError], None]
    interval_seconds: float
    allow_prune: bool = False
    allow_step_back: bool = False
    remote: str | None = None
    shard: Shard | None = None
    engine: Engine | None = None
    running: asyncio.Task[None] | None = None
    left: list[Transport] = field(default_factory=list)  # connections to hosts that are gone or have other settings now
    desired: Desired | None = None
    who: Controller | None = None
    failures: int = 0
    troubled: set[Key] = field(default_factory=set)  # whose last turn ended badly
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    last_good_seconds: float | None = None
    turned_seconds: float = field(default_factory=now_seconds)

    @property
    def last_good_age_seconds(self) -> float | None:
        """Seconds since the last turn after which no app was in trouble; None if there was no such turn yet."""
        return None if self.last_good_seconds is None else now_seconds() - self.last_good_seconds

    @property
    def turns(self) -> int:
        """The number of turns under way."""
        return len(self.engine.turns.open) if self.engine else 0

    def wake(self) -> None:
        """Begin a turn soon. It reads everything afresh, whatever the reason for the call."""
        self.woken.set()

    def stop(self) -> None:
        """Make `run` end its actions cleanly and return."""
        self.stopping = True
        self.woken.set()

    async def run(self) -> None:
        """Begin turns until `stop` is called."""
        while not self.stopping:
            self.woken.clear()
            self.turned_seconds = now_seconds()
            try:
                await self._begin_turn()
            except Exception as error:
                self._report_error(Unexpected(error))
            await self._wait_until_woken()
        if self.engine and self.running:
            self.engine.hold()
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            await self.engine.run(until_rest=True)
        for host in [*self.left, *(self.engine.opened.hosts.values() if self.engine else ())]:
            await host.close()

    async def _begin_turn(self) -> None:
        try:
            desired = await self.origin.read()
            lacking = await missing_history(self.origin, may_lack=self.allow_step_back)
            desired = replace(desired, notes=(*desired.notes, *lacking))
            before = self.engine.opened if self.engine else None
            opened = await work_out(desired, None, None, before, remote=self.remote, shard=self.shard)
            opened.origin = self.origin
        except ReconcileError as error:  # without a usable desired state, begin no change
            if self.engine:
                self.engine.hold()
            self._report_error(error)
            return
        if desired.refused is not None:
            self.report_error(desired.refused)
        if self.desired is None or not _is_same(self.desired, desired):
            self.failures = 0
        if self.desired is None or self.desired.notes != desired.notes:
            for note in desired.notes:
                log("desired_state.noted", note=note)
        self.desired = desired
        await self._want(opened)

    async def _want(self, opened: OpenFleet) -> None:
        self.who = self.who or self.controller(opened.owner)
        who = replace(self.who, owner=opened.owner, revision=opened.desired.revision)
        if self.engine is None:
            self.engine = Engine(opened, who, self.progress, self._end_turn, allow_prune=self.allow_prune)
        else:
            before = self.engine.opened
            self.engine.want(opened, who)
            await self._close_left(before, opened)
        if self.running is None or self.running.done():
            self.running = asyncio.create_task(self._run_engine(self.engine))
        self.engine.begin_turn()

    async def _run_engine(self, engine: Engine) -> None:
        try:
            await engine.run()
        except Exception as error:  # a bug: actions under way go on, and the next turn starts `run` again
            self._report_error(Unexpected(error))

    def _report_error(self, error: ReconcileError) -> None:
        self.failures += 1
        self.report_error(error)

    def _end_turn(self, opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        retryable = self._note_trouble(outcomes)
        if retryable and not self.stopping:
            asyncio.get_running_loop().call_later(self._retry_seconds(), self.wake)
            self.failures += 1
        elif not retryable:
            self.failures = 0
        if not self.troubled:
            self.last_good_seconds = now_seconds()
        self.report(opened, outcomes, seconds)

    def _note_trouble(self, outcomes: list[Outcome]) -> bool:
        """Record which of these apps are in trouble, and keep the record of others. True if a retry may help one."""
        assert self.engine is not None
        ends = [outcome.end for outcome in outcomes]
        bad = [end for end in ends if isinstance(end, Blocked) and end.kind not in NO_FAILURE]
        known = self.engine.steps.keys() - {(end.app, end.host) for end in ends}
        self.troubled = (self.troubled & known) | {(end.app, end.host) for end in bad}
        return any(isinstance(end, Blocked) and end.retryable for end in ends)

    def _retry_seconds(self) -> float:
        """The pause before a retry: 2, 4, 8 … seconds with jitter, at most the interval."""
        return min(self.interval_seconds, FIRST_RETRY_SECONDS * 2.0 ** min(self.failures, 12)) * _jitter()

    async def _close_left(self, before: OpenFleet, opened: OpenFleet) -> None:
        """Close connections to hosts that are gone or have other settings, once no action uses them any more."""
        assert self.engine is not None
        self.left += [host for host in before.hosts.values() if host not in opened.hosts.values()]
        used = {job.host for job in self.engine.jobs.values()}
        ended = [host for host in self.left if host not in used]
        self.left = [host for host in self.left if host in used]
        for host in ended:
            await host.close()

    async def _wait_until_woken(self) -> None:
        try:
            async with asyncio.timeout(self.interval_seconds * _jitter()):
                await self.woken.wait()
        except TimeoutError:
            return


def _jitter() -> float:
    return 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads load, protects nothing


def _is_same(before: Desired, after: Desired) -> bool:
    return (before.apps, before.fleet, before.secret_files) == (after.apps, after.fleet, after.secret_files)
