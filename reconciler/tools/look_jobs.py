"""Reads the jobs of an app from a look: their units, timers, runs and marks. Pure."""

from __future__ import annotations

import re

from reconciler.model.identity import Copies
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.model.process_name import SEPARATOR
from reconciler.tools.framing import Unfit, number
from reconciler.tools.look_marks import read_suspension
from reconciler.tools.look_records import JOB, Unit, epoch
from reconciler.tools.look_slot import Sight, state_of

_MOST_SEEN = 200


def read_jobs(sight: Sight, now: int) -> tuple[ObservedJob, ...]:
    """Return the jobs of which the look shows something, by name. Raises Unfit."""
    files = _files_of_jobs(sight)
    named = {name for kind in ("timer", "paused", "runs") for name, *_ in sight.of(kind)}
    names = sorted(files.keys() | named)
    if len(names) > _MOST_SEEN:
        raise Unfit("it has more jobs than reconcile writes")
    return tuple(_read_job(name, files.get(name, ()), sight, now) for name in names)


def _files_of_jobs(sight: Sight) -> dict[str, tuple[str, ...]]:
    """Return the paths of each job's units, as the inventory tells."""
    start = f"{sight.places.layout.units}/{sight.places.app}{SEPARATOR}"
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(sight.inventory):
        name = re.fullmatch(rf"({JOB})(?:@?\.service|\.timer)", path.removeprefix(start))
        if name and path.startswith(start):
            found[name[1]] = (*found.get(name[1], ()), path)
    return found


def _read_job(name: str, paths: tuple[str, ...], sight: Sight, now: int) -> ObservedJob:
    unit = f"{sight.places.app}{SEPARATOR}{name}"
    runs = state_of(sight.processes.units.get(f"{unit}.service", Unit())) not in ("inactive", "failed")
    timer_runs = state_of(sight.processes.units.get(f"{unit}.timer", Unit())) == "active"
    enabled = (name,) in sight.of("timer")
    run = next((record for record in sight.of("runs") if record[0] == name), None) if runs else None
    paused = next((record[1:] for record in sight.of("paused") if record[0] == name), None)
    return ObservedJob(
        name=name,
        files=tuple((path.rpartition("/")[2], sight.sums[path]) for path in paths if path in sight.sums),
        intact=all(sight.as_written(path) for path in paths),
        scheduled=timer_runs and enabled,
        half_scheduled=timer_runs != enabled,
        suspended=read_suspension(paused, now, f"{sight.places.app} --job {name}") if paused else None,
        runs_since=epoch(run[1], f"the time at which job {name} began") if run else None,
        runs_release=_release(run[3], sight.copies) if run else "",
        last=next((_read_run(record, sight.copies) for record in sight.of("ran") if record[0] == name), None),
    )


def _read_run(record: tuple[str, ...], copies: Copies) -> JobRun:
    name, began, ended, result, status, folder = record
    what = f"a time of the last run of job {name}"
    return JobRun(epoch(began, what), epoch(ended, what), result, number(status, 255, what), _release(folder, copies))


def _release(folder: str, copies: Copies) -> str:
    return copies.name(folder) if folder != "-" else ""
