"""An app and its processes on one host: one version of all of them. Pure.

    the web process is proven in its idle slot → each process is replaced and proven → the cutover → the processes are
    accepted

Until the cutover the processes are on trial, as the web process is: whatever does not come up takes all of them back,
and a reboot brings back the former version of each. The former web process is kept until they are accepted, so one that
ends meanwhile still takes all of them back. Two of one process never run: the former one ends first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.case import Case
from reconciler.decide.hooks import mark_of
from reconciler.decide.incomplete import incomplete
from reconciler.decide.jobs import is_at_home
from reconciler.decide.order import FleetStep, not_looked_at, obstacle, runs_as_desired
from reconciler.decide.serving import serving_version
from reconciler.decide.slots import has_taken_over, live_slot, target_identity
from reconciler.decide.warm import go_back, warm_slot
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    EnableInstance,
    InstallRelease,
    RejectRelease,
    RunHook,
    ScheduleJobs,
    Soak,
    StartInstance,
    StopInstance,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Slot
from reconciler.model.observed_job import ObservedJob
from reconciler.model.process_name import SEPARATOR, family_of, is_process
from reconciler.model.target import Target

Steps = dict[Key, FleetStep]


def together(desired: DesiredFleet, seen: SeenFleet, steps: Steps) -> Steps:
    """Return the steps, with those changed by which one part of an app would go ahead of the others. Same keys."""
    steps = steps | incomplete(desired, seen, steps)
    families: dict[Key, list[Key]] = {}
    for key in steps:
        if is_process(key[0]) and key in desired.targets:
            families.setdefault((family_of(key[0]), key[1]), []).append(key)
    result = dict(steps)
    for leader, processes in families.items():
        look = seen.host(leader[1])
        if look is not None and leader in desired.targets:
            family = _Family(desired, seen, steps, look, leader, tuple(processes))
            result |= {key: family.step(key) for key in (leader, *processes) if key not in seen.under_way}
        else:  # the app itself cannot be worked out
            result |= {key: _behind(key, leader, steps) for key in processes if key not in seen.under_way}
    return result


def why_process_stays(app: str, host: str, desired: DesiredFleet, steps: Mapping[Key, FleetStep]) -> str | None:
    """Why a process that is no longer desired on this host must go on for now; None if it may be removed.

    It belongs to the version that serves, so it ends with that. One that goes to another host, or gets another name,
    ends before its successor starts, which waits for that.
    """
    family = family_of(app)
    names = {family, *(each.app for each in desired.apps.values() if each.moved_from == family)}
    leader = next((key for key in steps if key[0] in names and key[1] == host and key in desired.targets), None)
    step = steps[leader] if leader else None
    if step is None or isinstance(step, Cutover | EnableInstance) or runs_as_desired(step):
        return None
    return f"{leader[0]} is not yet converged on {host}" if leader else None


def _behind(key: Key, leader: Key, steps: Steps) -> FleetStep:
    first, step = obstacle([leader], steps), steps[key]
    if first is None or isinstance(step, Converged | Blocked | Wait):
        return step
    return Wait(key[1], key[0], first.reason) if first.moves else _blocked(key, first.reason)


def _blocked(key: Key, reason: str, serving: str | None = None) -> Blocked:
    return Blocked(key[1], key[0], reason, serving=serving, kind="waiting")


@dataclass(frozen=True)
class _Family:
    """An app and its processes on one host. `steps` has the step of each as if it were alone."""

    desired: DesiredFleet
    seen: SeenFleet
    steps: Mapping[Key, FleetStep]
    look: ObservedHost
    leader: Key
    processes: tuple[Key, ...]

    def step(self, key: Key) -> FleetStep:
        """The step of one of them, with regard to the others."""
        step, first = self.steps[key], self.steps[self.leader]
        if isinstance(step, Wait):  # for what may never come if the app itself is blocked
            stays = key != self.leader and isinstance(first, Blocked) and not self._has_taken_over(self.leader)
            return self._wait_for(key, self.leader) if stays else step
        return self._step_of_leader() if key == self.leader else self._step_of_process(key)

    def _step_of_leader(self) -> FleetStep:
        step = self.steps[self.leader]
        if isinstance(step, Converged | Blocked | RunHook):
            return step
        if self._has_taken_over(self.leader):
            return self._step_after_cutover(step)
        if (failed := self._failed_process()) and not self._was_taken_back():
            why = f"its process {failed[0].partition(SEPARATOR)[2]} failed: {self._why(failed)}"
            return self._take_back(self.leader, why) or step
        if not isinstance(step, Cutover | EnableInstance):
            return step
        if leaving := self._jobs_in_the_way():
            return self._end_jobs(leaving)
        late = next((key for key in self.processes if not self._is_ready(key)), None)
        return step if late is None else self._wait_for(self.leader, late)

    def _step_after_cutover(self, step: FleetStep) -> FleetStep:
        """Keep the former instance until every process is accepted, and give it the route back if one fails."""
        warm = self._warm_slot()
        if not warm or not isinstance(step, ConfirmRoute | Soak | Drain | StopInstance):
            return step
        if (failed := self._failed_process()) and self._can_go_back():
            target, app = self._target(self.leader), self.look.app(self.leader[0])
            live, identity = live_slot(target, app), target_identity(target, app)
            assert live and identity
            case = Case(target, self.look, app, live, live, identity)
            return go_back(case, warm, f"its process {failed[0].partition(SEPARATOR)[2]} failed: {self._why(failed)}")
        late = (key for key in self.processes if not self._has_taken_over(key))
        first = next((key for key in late if not isinstance(self.steps[key], Blocked | RunHook)), None)
        return self._wait_for(self.leader, first) if first and isinstance(step, Drain | StopInstance) else step

    def _was_taken_back(self) -> bool:
        """True if the web process was given up already: what is left of it goes."""
        app = self.look.app(self.leader[0])
        identity = target_identity(self._target(self.leader), app)
        return any(entry.identity == identity for entry in app.quarantined)

    def _warm_slot(self) -> Slot | None:
        app = self.look.app(self.leader[0])
        live = live_slot(self._target(self.leader), app)
        return warm_slot(app, live) if live else None

    def _can_go_back(self) -> bool:
        """True if the former web process is there, and no process has been accepted with the new release."""
        warm, identity = self._warm_slot(), target_identity(self._target(self.leader), self.look.app(self.leader[0]))
        if warm is None or identity is None:
            return False
        changed = warm.running is None or warm.running.release != identity.release
        return not (changed and any(self._has_taken_over(key) for key in self.processes))

    def _jobs_in_the_way(self) -> list[ObservedJob]:
        """The jobs that have become processes of the same names, and so of the same units: those go first."""
        names = {key[0].partition(SEPARATOR)[2] for key in self.processes}
        jobs = (job for job in self.look.app(self.leader[0]).jobs if job.name in names)
        return [job for job in jobs if is_at_home(job) or job.runs_since is not None]

    def _end_jobs(self, leaving: list[ObservedJob]) -> FleetStep:
        """Take away the units of these jobs alone: the others are for the release that is to serve."""
        app, host = self.leader
        names = tuple(job.name for job in leaving if is_at_home(job))
        if not names:
            return self._wait_for_run(self.leader, leaving[0])
        wanted = {job.name for job in self._target(self.leader).jobs}
        others = (wanted | {job.name for job in self.look.app(app).jobs}) - {*names}
        reason = "; ".join(f"job {name} becomes a process" for name in names)
        return ScheduleJobs(host, app, reason, names, held_back=tuple(sorted(others)))

    def _wait_for_run(self, key: Key, job: ObservedJob) -> Blocked:
        reason = f"job {job.name} becomes a process, and a run of it is under way: the two must not run at once"
        serving = self._serving(key)
        return Blocked(
            key[1], key[0], reason, "it goes on once that has ended", serving, retryable=True, kind="waiting"
        )

    def _step_of_process(self, key: Key) -> FleetStep:
        step = self.steps[key]
        leaving = {job.name: job for job in self._jobs_in_the_way()}
        if job := leaving.get(key[0].partition(SEPARATOR)[2]):
            return self._wait_for(key, self.leader) if is_at_home(job) else self._wait_for_run(key, job)
        if isinstance(step, Converged | Blocked) or self._has_taken_over(key):
            return self._copy(key, step) if isinstance(step, InstallRelease) else step
        if self._leader_failed() and self._slot_on_trial(key):
            why = f"rolled back with {self.leader[0]}, which failed: {self._why(self.leader)}"
            return self._take_back(key, why) or step
        if isinstance(step, InstallRelease):
            return self._copy(key, step)
        if isinstance(step, StartInstance) and step.drift is None:
            return self._wait_to_start(key) or step
        if isinstance(step, EnableInstance):
            if not self._has_taken_over(self.leader) or self._leader_soaks():
                return self._wait_for(key, self.leader)
            if late := next((other for other in self.processes if not self._is_ready(other)), None):
                ended = isinstance(self.steps[late], Blocked | RunHook) and not self._can_go_back()
                return step if ended else self._wait_for(key, late)
        return step

    def _leader_soaks(self) -> bool:
        soaks = self._target(self.leader).soak_seconds > 0
        return soaks and isinstance(self.steps[self.leader], ConfirmRoute | Soak)

    def _copy(self, key: Key, step: InstallRelease) -> FleetStep:
        """Take the release from the app itself, once that has it: a process is sent nothing."""
        app = self.look.app(self.leader[0])
        if step.release not in app.releases or step.release in app.damaged:
            return self._wait_for(key, self.leader)
        why = f"{step.reason}; " if step.replaces_damaged else ""
        return replace(step, copied=True, reason=f"{why}copied from {self.leader[0]}")

    def _wait_to_start(self, key: Key) -> FleetStep | None:
        if not (self._has_taken_over(self.leader) or isinstance(self.steps[self.leader], Cutover | EnableInstance)):
            return self._wait_for(key, self.leader)
        if not self._runs(key) and (unseen := not_looked_at(self.desired, self.seen)):
            return Wait(key[1], key[0], f"waits until {unseen} was looked at: it must not run twice")
        for place in self._former_places(key):
            step = self.steps.get(place)
            reason = f"waits until {place[0]} has ended on {place[1]}: it must not run twice"
            moves = not isinstance(step, Blocked | None)
            return Wait(key[1], key[0], reason) if moves else _blocked(key, reason, self._serving(key))
        return None

    def _former_places(self, key: Key) -> list[Key]:
        """Where this process still runs, although no longer desired there: on another host, or under a former name."""
        app = self.desired.apps.get(self.leader[0])
        names = {key[0]}
        if app and app.moved_from:
            names.add(app.moved_from + SEPARATOR + key[0].partition(SEPARATOR)[2])
        places = [(name, host) for host in self.seen.hosts for name in sorted(names)]
        return [place for place in places if place not in self.desired.targets and self._runs(place)]

    def _runs(self, place: Key) -> bool:
        look = self.seen.host(place[1])
        return look is not None and any(slot.running_now for slot in look.app(place[0]).slots)

    def _wait_for(self, key: Key, other: Key) -> FleetStep:
        step = self.steps[other]
        if isinstance(step, Blocked):
            return _blocked(key, f"waits for {other[0]}: {step.reason}", self._serving(key))
        return Wait(key[1], key[0], f"waits for {other[0]} on {other[1]}")

    def _is_ready(self, key: Key) -> bool:
        """True if the process runs what is desired: accepted, or proven and on trial until the cutover."""
        return self._has_taken_over(key) or isinstance(self.steps[key], EnableInstance)

    def _has_taken_over(self, key: Key) -> bool:
        """True if the desired release was accepted in the live slot."""
        return has_taken_over(self._target(key), self.look.app(key[0]))

    def _failed_process(self) -> Key | None:
        return next((key for key in self.processes if self._is_quarantined(key)), None)

    def _leader_failed(self) -> bool:
        return self._is_quarantined(self.leader) and not self._has_taken_over(self.leader)

    def _is_quarantined(self, key: Key) -> bool:
        step = self.steps[key]
        if isinstance(step, RunHook):
            return step.hook == "on_failure"
        return isinstance(step, Blocked) and step.kind == "quarantined"

    def _slot_on_trial(self, key: Key) -> Slot | None:
        app, identity = self.look.app(key[0]), target_identity(self._target(key), self.look.app(key[0]))
        trials = (slot for slot in app.slots if slot.on_trial or slot.previous or not slot.enabled)
        return next((slot for slot in trials if identity in (slot.prepared, slot.running)), None)

    def _take_back(self, key: Key, why: str) -> FleetStep | None:
        """Reject what is on trial in favour of the former version; or, if it has not been started, do not start it."""
        target, app = self._target(key), self.look.app(key[0])
        identity, slot = target_identity(target, app), self._slot_on_trial(key)
        if identity is None:
            return None
        if slot is None:
            reason = f"version {identity.version} failed here: {why}"
            next_step = f"reconcile logs {self.leader[0]}; then commit another version or env"
            return Blocked(key[1], key[0], reason, next_step, self._serving(key), kind="quarantined")
        mark = mark_of(target, "on_failure")
        return RejectRelease(key[1], key[0], why, slot.name, identity, why, takes_over=app.by_hand, hook=mark)

    def _why(self, key: Key) -> str:
        """Why this one failed, without the words with which its own message begins."""
        step = self.steps[key]
        if isinstance(step, RunHook):
            return step.reason
        assert isinstance(step, Blocked)
        return step.reason.partition(": ")[2] or step.reason

    def _target(self, key: Key) -> Target:
        return self.desired.targets[key]

    def _serving(self, key: Key) -> str | None:
        return serving_version(self._target(key), self.look)
