"""What holds of jobs: one run of each at a time, which keeps its release; a timer on the one host that has it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.simulator.world.systemd import TIMERS

if TYPE_CHECKING:
    from tests.simulator.oracles import Oracles
    from tests.simulator.world.host import Host

UNITS = "etc/systemd/system"
LONGEST_RUN_SECONDS = 60.0  # far above what a run takes here


def runs_are_well(oracles: Oracles, host: Host) -> None:
    """After every effect."""
    runs = host.systemd.jobs.runs.values()
    for (app, job), count in Counter((run.app, run.job) for run in runs).items():
        oracles.checks["jobs"] += 1
        if count > 1:
            oracles.fail("jobs", f"{count} runs of {job} of {app} at once")
    for run in runs:
        if f"srv/{run.app}/releases/{run.release}" not in host.files.now:
            oracles.fail("jobs", f"the release of {run.unit} was removed while it runs")
        if run.release.rpartition("-")[0] not in oracles.simulation.good_versions:
            oracles.fail("jobs", f"{run.unit} runs with {run.release}, which is not good")


def timers_are_as_wanted(oracles: Oracles, host: Host) -> None:
    """When nothing is left to do: the timer is on its host, enabled and active, and no unit of it on any other."""
    for app, wish in oracles.wishes.items():
        here = {job for job, where in wish.jobs.items() if where == host.name and not wish.leaves(host.name)}
        for job in here:
            oracles.checks["jobs"] += 1
            timer = f"{app}--{job}.timer"
            unit = host.systemd.unit(timer)
            if unit.text not in (None, host.files.text(f"{UNITS}/{timer}")):
                oracles.fail("jobs", f"systemd on {host.name} has not read what {timer} says now")
            if not host.systemd.is_enabled(timer) or unit.state != "active":
                oracles.fail("jobs", f"the timer of {job} of {app} does not run on {host.name}")
        for path in host.files.now:
            if path.startswith((f"{UNITS}/{app}--", f"{TIMERS}/{app}--")) and path.endswith((".timer", ".service")):
                name = path.rpartition("/")[2].removeprefix(f"{app}--").partition(".")[0].removesuffix("@")
                if name not in here and name not in wish.processes:
                    oracles.fail("jobs", f"{path} of {app} is left on {host.name}")
    for run in host.systemd.jobs.runs.values():
        if host.now > run.began + LONGEST_RUN_SECONDS:
            oracles.fail("jobs", f"{run.unit} does not end")
