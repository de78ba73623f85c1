"""Jobs, as systemd runs them: a timer starts a unit that runs the real job.sh, and that starts the unit of a run.

Times are every minute (`at: minutely`), or none that comes. A run takes as long as its release says (`job`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulator.process import Run

if TYPE_CHECKING:
    from tests.simulator.world.systemd import Systemd, Unit

MINUTE = 60.0
RUN_SECONDS = 25.0  # unless the release says otherwise
PROGRAM = "StandardInputText="


@dataclass
class JobRun:
    """One run of a job under way."""

    unit: str
    app: str
    job: str
    release: str
    began: float
    asked_by: tuple[int, int]


@dataclass
class Jobs:
    """All that are under way on a host."""

    systemd: Systemd
    runs: dict[str, JobRun] = field(default_factory=dict)
    starters: dict[str, Run | None] = field(default_factory=dict)  # the script of each unit that runs one
    ending: set[str] = field(default_factory=set)  # starters that were told to stop

    @property
    def under_way(self) -> bool:
        return bool(self.runs or self.starters)

    def power_lost(self) -> None:
        self.runs.clear()
        self.starters.clear()
        self.ending.clear()

    # Timers.

    def arm(self, timer: Unit) -> None:
        host = self.systemd.host
        host.events.cancel(timer.restart_event)
        if "OnCalendar=minutely" in self.systemd.text_of(timer):
            timer.restart_event = host.events.after(MINUTE - host.epoch % MINUTE, "timer_elapses", timer.name)

    def elapses(self, name: str) -> None:
        timer = self.systemd.unit(name)
        if timer.state == "active":
            self.arm(timer)
            self.systemd.start(self.systemd.unit(f"{name.removesuffix('.timer')}.service"))

    # The unit that runs job.sh.

    def is_starter(self, unit: Unit) -> bool:
        return "@" not in unit.name and PROGRAM in self.systemd.text_of(unit)

    def begin(self, unit: Unit) -> bool:
        if unit.name in self.starters:
            return True
        lines = self.systemd.text_of(unit).splitlines()
        program = "\n".join(line.removeprefix(PROGRAM).replace("%%", "%") for line in lines if line.startswith(PROGRAM))
        start = next(line for line in lines if line.startswith("ExecStart=")).split()
        unit.state, self.starters[unit.name] = "activating", None

        def ended(run: Run) -> None:
            self.starters.pop(unit.name, None)
            self.ending.discard(unit.name)
            unit.state, unit.status = "failed" if run.status else "inactive", run.status or 0
            self.systemd.let_go(unit)

        run = self.systemd.host.begin("job", f"{program}\n", tuple(start[start.index("-s") + 1 :]), b"", ended)
        if unit.name in self.starters:
            self.starters[unit.name] = run
        return True

    def end(self, unit: Unit) -> bool:
        """Stop it, and its run with it. True if that has to be waited for."""
        if unit.name not in self.starters:
            return False
        unit.state = "deactivating"
        self.ending.add(unit.name)
        prefix = unit.name.removesuffix(".service")
        for name in [name for name in self.runs if name.startswith(f"{prefix}@")]:
            self.systemd.host.events.after(0.05, "job_run_ends", name, 1)
        return True

    # A run.

    def is_run(self, unit: Unit) -> bool:
        return "@" in unit.name and "--" in unit.name and "Type=oneshot" in self.systemd.text_of(unit)

    def start_run(self, unit: Unit, asked_by: tuple[int, int]) -> bool:
        """False if it cannot be started; else its end is answered."""
        systemd = self.systemd
        service, behaviour = systemd.service_and_behaviour(unit)
        starter = f"{unit.name.partition('@')[0]}.service"
        if service is None or behaviour is None or starter in self.ending:
            return False
        folder = systemd.host.real(service.folder)
        app, job = unit.name.partition("@")[0].split("--", 1)
        systemd.invocations += 1
        unit.invocation = f"{systemd.host.serial:08x}{systemd.invocations:024x}"
        unit.state = "activating"
        release = folder.resolve().name
        self.runs[unit.name] = JobRun(unit.name, app, job, release, systemd.host.now, asked_by)
        systemd.host.events.after(float(behaviour.get("job", RUN_SECONDS)), "job_run_ends", unit.name, 0)
        systemd.host.job_happens(f"{unit.name} began")
        return True

    def run_ends(self, name: str, status: int) -> None:
        run = self.runs.pop(name, None)
        if run is None:
            return
        unit = self.systemd.unit(name)
        unit.state, unit.status, unit.code = "failed" if status else "inactive", status, 1
        unit.result = "exit-code" if status else "success"
        self.systemd.host.job_happens(f"{name} ended")
        self.systemd.host.answer_later(*run.asked_by, status)
