"""`reconcile run APP JOB -- ARGUMENTS`: run a job of an app now, and pass its output and exit code on."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys

from reconciler.apply.history import write_run
from reconciler.commands.live_slot import stream_masked
from reconciler.errors import ActionFailed, UsageError
from reconciler.host.transport import Command
from reconciler.model.observed_job import JobRun
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import OpenFleet, demand_all, open_fleet
from reconciler.targets.target_files import TargetFiles
from reconciler.tools import scripts

_RAN = re.compile(r"ran ([0-9]{1,12}) ([0-9]{1,12}) ([a-z-]{1,40}) ([0-9]{1,3}) ([0-9A-Za-z._+~-]{1,128})")


def run(options: Options) -> int:
    """Return the exit code of the job, and 1 if it was not run."""
    return asyncio.run(_run(options.for_app()))


async def _run(options: Options) -> int:
    words = options.words[1:] if options.words[:1] == ("--",) else options.words
    async with open_fleet(options, valid_only=True) as opened:
        demand_all(opened)
        files = files_of_job(opened, options.app_name, options.job)
        assert files.app is not None
        layout, seconds = files.layout, files.app.jobs[options.job].within_minutes * 60 + files.app.stop_seconds + 60
        host, job = opened.hosts[files.target.host], options.job
        arguments = (layout.units, layout.state, options.app_name, job, str(seconds))
        command = Command(scripts.plain_script("run_job", files.site.spec.scope), arguments)
        done = await stream_masked(host, files, command, shlex.join(words).encode(), seconds + 60)
        *said, last = done.stderr.splitlines() or [""]
        ran = read_run(last)
        print("".join(f"{line}\n" for line in (said if ran else [*said, last]) if line), end="", file=sys.stderr)
        if ran is None:
            if done.status == 0:
                raise ActionFailed(host.name, f"{options.app_name}: {job} did not say how it ended", "reconcile jobs")
            return 1
        print(f"job {job} {ended_text(ran)} on {host.name}", file=sys.stderr)
        await write_run(host, files.site, new_controller(opened.owner), options.app_name, job, ran)
        return done.status


def files_of_job(opened: OpenFleet, app: str, job: str) -> TargetFiles:
    """Return the target on the one host that runs the job. Raises UsageError."""
    found = next(each for each in opened.desired.apps if each.app == app)
    if job not in found.jobs:
        known = ", ".join(sorted(found.jobs)) or "none"
        raise UsageError(f"{app} has no job {job}", f"name one of its jobs: {known}")
    host = found.host_of_job(job)
    if (app, host) not in opened.targets:
        raise UsageError(f"the job {job} runs on {host}", "leave --host out")
    return opened.targets[app, host]


def read_run(line: str) -> JobRun | None:
    """Read the last line that run_job.sh prints; None for any other."""
    found = _RAN.fullmatch(line)
    if not found or int(found[4]) > 255:
        return None
    return JobRun(int(found[1]), int(found[2]), found[3], int(found[4]), found[5])


def ended_text(ran: JobRun) -> str:
    """How a run ended and how long it took, as people say it."""
    seconds = max(0, ran.ended_epoch_seconds - ran.began_epoch_seconds)
    return f"{ran.how} after {seconds} s"
