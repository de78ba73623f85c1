"""A job is in one place only: it leaves its former host or its former name before it is scheduled anew. Pure.

A run that is under way there goes on to its end, with its release, and is waited for: two runs never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.decide.jobs import is_at_home, schedule_all_but
from reconciler.decide.order import FleetStep, not_looked_at
from reconciler.decide.serving import serving_version
from reconciler.model.action import Blocked, Converged, ScheduleJobs
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.process_name import SEPARATOR


def one_place_each(desired: DesiredFleet, seen: SeenFleet, steps: Mapping[Key, FleetStep]) -> dict[Key, FleetStep]:
    """Return the steps, with each job held back that is new on its host and has not yet left its former place."""
    result = dict(steps)
    for key, step in steps.items():
        look = seen.host(key[1])
        if isinstance(step, ScheduleJobs) and key in desired.targets and look and key not in seen.under_way:
            moves = _Moves(desired, seen, steps, key, look)
            held_back = moves.held_back(step)
            if held_back:
                result[key] = schedule_all_but(desired.targets[key], look.app(key[0]), tuple(held_back)) or (
                    next(iter(held_back.values()))
                )
    return result


@dataclass(frozen=True)
class _Moves:
    """The jobs that come to one host."""

    desired: DesiredFleet
    seen: SeenFleet
    steps: Mapping[Key, FleetStep]
    key: Key
    look: ObservedHost

    def held_back(self, step: ScheduleJobs) -> dict[str, Wait | Blocked]:
        """Return what each of the jobs waits for that may not be scheduled here yet."""
        wanted, app = {job.name for job in self.desired.targets[self.key].jobs}, self.look.app(self.key[0])
        new = [name for name in step.jobs if name in wanted and not is_at_home(app.job(name))]
        return {name: wait for name in new if (wait := self._wait_for_place(name))}

    def _wait_for_place(self, job: str) -> Wait | Blocked | None:
        for name, host in self._places():
            before, target = self._job_in((name, host), job), self.desired.targets.get((name, host))
            if target and any(each.name == job for each in target.jobs):
                continue
            of_whom = f"job {job}" if name == self.key[0] else f"job {job} of {name}"
            if before.at_home:
                return self._wait(f"waits until {of_whom} has left {host}: it must not run twice", (name, host))
            if before.runs:
                why = f"a run of {of_whom} is under way on {host}: it must not run twice"
                return self._blocked(f"job {job} is not scheduled here yet, since {why}", "it is once that has ended")
        process = self.key[0] + SEPARATOR + job, self.key[1]  # units of the same names
        if process not in self.desired.targets and self.look.app(process[0]).owner is not None:
            return self._wait(f"waits until {process[0]}, a process, is removed from {process[1]}", process)
        if unseen := not_looked_at(self.desired, self.seen):
            return Wait(self.key[1], self.key[0], f"waits until {unseen} was looked at, which may run job {job}")
        if lost := self._lost_host():
            reason = f"job {job} is not scheduled here yet, since {lost} cannot be reached and may still run it"
            return self._blocked(reason, f"make {lost} reachable, or take it out of the hosts of {self.key[0]}")
        return None

    def _places(self) -> list[Key]:
        app = self.desired.apps.get(self.key[0])
        names = {self.key[0], *([app.moved_from] if app and app.moved_from else [])}
        return [(name, host) for host in self.seen.hosts for name in sorted(names) if (name, host) != self.key]

    def _job_in(self, place: Key, name: str) -> _Former:
        look = self.seen.host(place[1])
        job = look.app(place[0]).job(name) if look else None
        return _Former(bool(job and is_at_home(job)), bool(job and job.runs_since is not None))

    def _lost_host(self) -> str | None:
        app = self.desired.apps.get(self.key[0])
        hosts = app.hosts if app else ()
        return next((host for host in hosts if isinstance(self.seen.hosts.get(host), Unreachable)), None)

    def _wait(self, reason: str, place: Key) -> Wait | Blocked:
        step = self.steps.get(place)
        moves = not isinstance(step, Blocked | Converged | None)
        return Wait(self.key[1], self.key[0], reason) if moves else self._blocked(reason)

    def _blocked(self, reason: str, next_step: str | None = None) -> Blocked:
        app, host = self.key
        serving = serving_version(self.desired.targets[self.key], self.look)
        return Blocked(host, app, reason, next_step, serving, retryable=True, kind="waiting")


@dataclass(frozen=True)
class _Former:
    """What a former place of a job has of it."""

    at_home: bool
    runs: bool
