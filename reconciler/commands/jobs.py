"""`reconcile jobs [APP]`: when each job runs next, and how its last run ended. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from reconciler.clock import epoch_seconds
from reconciler.engine.report import table
from reconciler.model.job import Job
from reconciler.model.job_times import next_times
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet, open_fleet
from reconciler.targets.target_files import TargetFiles


def run(options: Options) -> int:
    """Return 0 if every host answered and the last run of each job ended well, else 1."""
    return asyncio.run(_jobs(options.for_app() if options.app_name else options))


async def _jobs(options: Options) -> int:
    async with open_fleet(options, valid_only=True) as opened:
        hosts = sorted({files.target.host for files in opened.targets.values() if files.app and files.app.jobs})
        looks = dict(zip(hosts, await asyncio.gather(*(_look(opened, host) for host in hosts)), strict=True))
        now = datetime.fromtimestamp(epoch_seconds(), UTC)
        rows = [row for files in opened.targets.values() for row in _rows(files, looks, now)]
    print(json.dumps(rows, indent=2, ensure_ascii=False) + "\n" if options.json else jobs_text(rows), end="")
    return int(any(row["problem"] for row in rows))


async def _look(opened: OpenFleet, host: str) -> ObservedHost | Unreachable:
    site, files = opened.sites[host], opened.by_host.get(host, [])
    return await observe(opened.hosts[host], site, files, new_controller(opened.owner))


def _rows(files: TargetFiles, looks: dict[str, ObservedHost | Unreachable], now: datetime) -> list[dict[str, Any]]:
    app, host = files.app, files.target.host
    if app is None:
        return []
    names = [name for name in sorted(app.jobs) if app.host_of_job(name) == host]
    return [job_row(app.app, host, name, app.jobs[name], looks[host], now) for name in names]


def job_row(
    app: str, host: str, name: str, job: Job, seen: ObservedHost | Unreachable, now: datetime
) -> dict[str, Any]:
    """One job on its host, as `--json` prints it."""
    row: dict[str, Any] = {"app": app, "job": name, "host": host, "at": job.at}
    if isinstance(seen, Unreachable):
        return row | {"next": None, "state": "unknown", "last": None, "problem": f"unreachable: {seen.reason}"}
    found = seen.app(app).job(name)
    times = [] if found.suspended else next_times(job, seen.facts.zone, now)
    last = _run_json(found.last) if found.last else None
    failed = f"its last run {found.last.how}" if found.last and found.last.failed else None
    return row | {"next": times, "state": _state(job, found), "last": last, "problem": failed}


def _state(job: Job, found: ObservedJob) -> str:
    if found.runs_since is not None:
        return f"runs since {_utc(found.runs_since)}"
    if found.suspended:
        return f"suspended {found.suspended}"
    if not found.files:
        return "not on the host yet"
    if job.at is None:
        return "by hand"
    return "scheduled" if found.scheduled else "its timer does not run"


def _run_json(last: JobRun) -> dict[str, Any]:
    return {
        "began": last.began_epoch_seconds,
        "seconds": max(0, last.ended_epoch_seconds - last.began_epoch_seconds),
        "result": last.result,
        "status": last.status,
        "release": last.release,
    }


def _utc(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def jobs_text(rows: list[dict[str, Any]]) -> str:
    """Return a line for each job; the second and third of its next times are below the first."""
    if not rows:
        return "no app has jobs\n"
    cells = [["app", "job", "host", "next", "state", "last run"]]
    for row in rows:
        first, *more = [_short(each) for each in row["next"] or ["-"]]
        cells.append([row["app"], row["job"], row["host"], first, row["state"], _last_text(row)])
        cells += [["", "", "", each, "", ""] for each in more]
    return table(cells)


def _short(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")


def _last_text(row: dict[str, Any]) -> str:
    last = row["last"]
    if last is None:
        return row["problem"] or "never"
    how = (row["problem"] or "its last run ended well").removeprefix("its last run ")
    return f"{_utc(last['began'])}: {how} after {last['seconds']} s"
