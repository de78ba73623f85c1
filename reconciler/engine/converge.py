"""A pass: look at every host, ask for the next action, apply it, until nothing is left to do.

Hosts and apps go side by side; what must wait for what is in `order`. Nothing is remembered from one pass to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.decide.next_action import next_action
from reconciler.decide.serving import serving_version
from reconciler.desired_state.origin import Behind
from reconciler.engine.calling_off import CALLED_OFF, CalledOff, CallingOff, Key
from reconciler.engine.order import Schedule
from reconciler.engine.progress import Progress
from reconciler.engine.stale_clone import mark_if_behind
from reconciler.errors import ArtifactError, ArtifactMissing, ReconcileError, Unexpected
from reconciler.host.transport import Transport
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    Converged,
    Drain,
    InstallRelease,
    RetryCertificates,
    Soak,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.observe.look import observe
from reconciler.targets.resolve import HostSite, TargetFiles

INTERRUPTIBLE = (WaitHealthy, Soak, Drain, ConfirmRoute, InstallRelease, WaitCertified)
THE_CA_ONLY = (RetryCertificates, WaitCertified)  # it may go on for days, each hour: nothing for a short history
STARTS_WITHIN_SECONDS = 15  # a Traefik that is up: more than it takes after a boot; long enough to see that it is stuck
MOST_ACTIONS = 60  # far above any rollout: a pass that gets there goes round in circles, and says so


GrantGrace = Callable[[ArtifactMissing, str], Awaitable[ArtifactMissing]]


async def _grant_no_grace(error: ArtifactMissing, app: str) -> ArtifactMissing:
    return error


@dataclass
class Pass:
    """One pass over some hosts and targets."""

    hosts: dict[str, Transport]
    sites: dict[str, HostSite]
    targets: list[TargetFiles]
    controller: Controller
    progress: Progress
    behind: Behind | None = None
    wait_lock_seconds: float = 0.0
    prunes: bool = False  # the targets are all there is: what else is ours is to go
    allow_prune: bool = False
    grant_grace: GrantGrace = _grant_no_grace
    looks: dict[str, asyncio.Task[ObservedHost | Unreachable]] = field(default_factory=dict)
    others: Callable[[], Collection[Pass]] = tuple  # all passes of this process that are under way
    jobs: dict[Key, asyncio.Task[Outcome]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)  # hosts on which an action was begun
    held: set[Key] = field(default_factory=set)  # what is not done with the jobs
    called_off: CallingOff = field(default_factory=CallingOff)
    wakes: bool = False  # a later pass left out what is under way here: there may be more to do at the end

    async def run(self) -> list[Outcome]:
        """Every outcome, in the order of the targets, removals last."""
        deadline = now_seconds() + self.wait_lock_seconds
        self.looks = {name: asyncio.create_task(self.look(name)) for name in sorted(self.hosts)}
        older = {key: job for each in self.others() for key, job in each.jobs.items() if not job.done()}
        schedule = Schedule(self.targets, self.controller.owner, self.looks, self.jobs, older)
        for files in self.targets:
            schedule.start(files, self._converge_or_block(files, schedule, deadline))
        removals = await schedule.removals(self.sites, self._keys, allow_prune=self.allow_prune) if self.prunes else []
        for files in removals:
            schedule.start(files, self._converge_or_block(files, schedule, deadline))
        await asyncio.gather(*(self._finish(name, schedule) for name in sorted(self.hosts)))
        return [outcome for outcome in schedule.outcomes() if not _is_absent_as_wanted(outcome)]

    @property
    def _keys(self) -> set[Key]:
        return {files.key for files in self.targets}

    def keep_to(self, wanted: Mapping[Key, TargetFiles | None]) -> None:
        """Call off what is wanted otherwise now; None is what nobody could work out. The rest goes on undisturbed."""
        begun = {files.key: files for files in self.targets}
        for key in self.busy:
            before, now = begun.get(key), wanted.get(key)
            if (before is None and key in wanted) or (before and not (now and before.wants_the_same(now))):
                self.called_off.call_off(key)

    @property
    def busy(self) -> set[Key]:
        """What is still under way."""
        if not self.jobs:
            return set(self._keys)
        return self.held | {key for key, job in self.jobs.items() if not job.done()}

    async def look(self, name: str) -> ObservedHost | Unreachable:
        on_host = [files for files in self.targets if files.target.host == name]
        try:
            return await observe(self.hosts[name], self.sites[name], on_host, self.controller)
        except Exception as raised:  # our mistake about one host must not keep the others waiting
            error = Unexpected(raised)
            return Unreachable(name, str(error), error.next_step or None, error.retryable, error.kind)

    async def _converge_or_block(self, files: TargetFiles, schedule: Schedule, deadline: float) -> Outcome:
        target = files.target
        try:
            return await self._converge(files, schedule, deadline)
        except Exception as raised:  # nor one about an app
            error = Unexpected(raised)
            end = Blocked(target.host, target.app, str(error), error.next_step or None, retryable=True, kind=error.kind)
            return Outcome(end)

    async def _converge(self, files: TargetFiles, schedule: Schedule, deadline: float) -> Outcome:
        target = files.target
        seen = await asyncio.shield(self.looks[target.host])  # several apps wait for the same look
        try:
            why = await self.called_off.unless(files.key, schedule.reason_to_wait(files, seen))
        except CalledOff:
            why = ""  # it says so itself, if there is anything to do
        if why:
            return Outcome(Blocked(target.host, target.app, why, kind="waiting"))
        files = await schedule.skip_second_migration(files)
        if isinstance(seen, ObservedHost) and await schedule.has_traefik_changed(files, seen):
            seen = await self.look(target.host)
        return await self._roll_out_patiently(files, seen, deadline)

    async def _roll_out_patiently(
        self, files: TargetFiles, seen: ObservedHost | Unreachable, deadline: float
    ) -> Outcome:
        """Looks again while another controller has the host, until the deadline, and while Traefik is starting."""
        target, began = files.target, now_seconds()
        outcome = await self._roll_out(files, seen)
        # Waited for is only what the look showed. Who loses the lease later has slept or lost a race: what it was
        # about to do may be old by now, and it changes nothing more.
        until = {"locked": deadline, "starting": began + STARTS_WITHIN_SECONDS}
        while isinstance(outcome.end, Blocked) and now_seconds() < until.get(outcome.end.kind, 0.0):
            locked = outcome.end.kind == "locked"
            self.progress.reporter(target.host, target.app)(f"waits: {outcome.end.reason}")
            await sleep_seconds(1)
            if self.called_off.holds(files.key):
                break
            outcome = outcome.then(await self._roll_out(files, await self.look(target.host)))
            if locked:
                outcome = replace(outcome, waited_seconds=now_seconds() - began)
        return outcome

    async def _roll_out(self, files: TargetFiles, seen: ObservedHost | Unreachable) -> Outcome:
        started, target = now_seconds(), files.target
        done: list[AnyAction] = []
        before = serving_version(target, seen)
        try:
            files = await mark_if_behind(files, seen, self.controller, self.behind)
            end = await self._act_until_done(files, seen, done)
        except ReconcileError as raised:
            error = await self.grant_grace(raised, target.app) if isinstance(raised, ArtifactMissing) else raised
            end = Blocked(
                target.host,
                target.app,
                files.mask(str(error)),
                error.next_step or None,
                serving_version(target, seen),
                retryable=error.retryable,
                kind=error.kind,
            )
        return Outcome(end, tuple(done), now_seconds() - started, before)

    async def _act_until_done(
        self, files: TargetFiles, seen: ObservedHost | Unreachable, done: list[AnyAction]
    ) -> Converged | Blocked:
        target = files.target
        host, report_progress = self.hosts[target.host], self.progress.reporter(target.host, target.app)
        log_tail: tuple[str, ...] = ()
        while len(done) < MOST_ACTIONS:
            step = next_action(target, seen)
            if isinstance(step, Blocked):
                return replace(step, log_tail=step.log_tail or log_tail)
            if isinstance(step, Converged):
                return step
            assert isinstance(seen, ObservedHost)
            from reconciler.apply.applier import (
                Applier,  # with all it needs: a pass that finds nothing to do does without
            )

            applier = Applier(host, files, self.controller, report_progress)
            try:
                with self.progress.action(step):
                    work = applier.apply(step, seen)
                    seen = await self.called_off.unless(files.key, work, ends=isinstance(step, INTERRUPTIBLE))
            except CalledOff:
                self.changed.add(target.host)
                serving = serving_version(target, seen)
                return Blocked(target.host, target.app, CALLED_OFF, serving=serving, kind="waiting")
            except ArtifactError:  # nothing was sent yet
                raise
            except ReconcileError:
                self.changed.add(target.host)
                raise
            self.changed.add(target.host)
            done.append(step)
            # A rejected release's slot is cleared; what its log said is still worth telling at the end.
            log_tail = next((slot.log_tail for slot in seen.app(target.app).slots if slot.log_tail), log_tail)
        again = f"the same actions come up again and again, the last one: {done[-1].verb} {done[-1].subject}"
        next_step = "please report this with the output of --verbose"
        return Blocked(target.host, target.app, again, next_step, kind="circling")

    async def _finish(self, name: str, schedule: Schedule) -> None:
        """History and the lease, once all apps of the host are done; also when the pass is called off."""
        try:
            await schedule.wait_for_host(name)
        finally:
            if name in self.changed:
                from reconciler.apply.history import write_history

                acted = (each for each in schedule.finished_outcomes(name) if each.actions)
                outcomes = [each for each in acted if not all(isinstance(a, THE_CA_ONLY) for a in each.actions)]
                host, keep = self.hosts[name], self._handed_on(name)
                work = write_history(host, self.sites[name], self.controller, outcomes, keep_lease=keep)
                await asyncio.shield(work)

    def _handed_on(self, host: str) -> bool:
        """Another pass is at work on the host: it will give the lease back."""
        for other in self.others():
            if other is not self and any(on == host and not job.done() for (_, on), job in other.jobs.items()):
                other.changed.add(host)
                return True
        return False


def _is_absent_as_wanted(outcome: Outcome) -> bool:
    return isinstance(outcome.end, Converged) and not outcome.end.version and not outcome.actions
