"""One unit and its process, which is started, restarted and stopped as the unit file says."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reconciler.clock import now_seconds
from reconciler.demo.processes import end, finish_within, signal_group, spawn
from reconciler.demo.unit import Service, expand, read_env_file, read_service

BASE_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
LONGEST_LINE = 65536
CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


@dataclass(frozen=True)
class Entry:
    """A line of the journal."""

    at_epoch_seconds: float
    own: bool  # the process wrote it; otherwise it is systemd's, about the process
    text: str


@dataclass
class Instance:
    """A unit such as `hello@4000.service`. Its states and their order are systemd's."""

    name: str
    units: Path
    programs: str = ""  # the folder of the stand-in's own systemctl, which comes first
    state: str = "inactive"
    invocation: str = ""
    restarts: int = 0
    since: str = ""
    code: int = 0  # how the last process ended: 1 it exited, 2 it was killed, 0 it runs
    status: int = 0
    result: str = "success"
    journal: deque[Entry] = field(default_factory=lambda: deque(maxlen=1000))
    _process: Process | None = None
    _service: Service | None = None  # as it was at the start of the process
    _environment: dict[str, str] = field(default_factory=dict, repr=False)
    _keeper: asyncio.Task[None] | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _starts: list[float] = field(default_factory=list)

    @property
    def file(self) -> Path:
        on_trial = self.units / ".run" / self.name
        if on_trial.exists():
            return on_trial
        prefix, at, _ = self.name.partition("@")
        return self.units / (f"{prefix}@.service" if at else self.name)

    @property
    def wanted_by(self) -> tuple[str, ...]:
        """The targets that start the unit at boot once it is enabled. Raises OSError or ValueError."""
        return self._read_service().wanted_by

    @property
    def main_pid(self) -> int:
        return self._process.pid if self._process and self._process.returncode is None else 0

    def show(self) -> dict[str, str]:
        """Return the properties that reconcile's scripts ask for, in the order in which systemd prints them."""
        oneshot = bool(self._service and self._service.oneshot)
        waits = self.state == "activating" and not oneshot
        sub_states = {"active": "running", "inactive": "dead", "deactivating": "stop-sigterm"}
        return {
            "MainPID": str(self.main_pid),
            "Result": self.result,
            "NRestarts": str(self.restarts),
            "ExecMainCode": str(self.code),
            "ExecMainStatus": str(self.status),
            # A path that does not exist as a cgroup, so that the look finds the main process only.
            "ControlGroup": f"/reconcile-demo/{self.name}" if self.main_pid else "",
            "Id": self.name,
            "LoadState": "loaded" if self.file.exists() else "not-found",
            "ActiveState": self.state,
            "SubState": "auto-restart" if waits else sub_states.get(self.state, self.state),
            "ActiveEnterTimestamp": self.since,
            "InvocationID": self.invocation,
        }

    async def start(self) -> bool:
        """Start the program and return True if it runs, False if it could not be started."""
        if self.state == "active":
            return True
        await self.stop()
        self._stopping.clear()
        async with self._changing:
            started = await self._launch()
            if started:
                self._keeper = asyncio.create_task(self._keep())
        if started and self._service and self._service.oneshot:
            assert self._keeper
            await asyncio.shield(self._keeper)
            return self.state == "inactive"
        return started

    async def stop(self, *, softly: bool = True) -> None:
        """Stop the program, and return once all its processes have ended."""
        self._stopping.set()
        async with self._changing:
            process = self._process
        if process and process.returncode is None:
            self.state = "deactivating"
            await (self._end(process) if softly else end(process, 0))
        if self._keeper:
            await self._keeper
            self._keeper = None

    def kill(self, number: int) -> None:
        if self._process and self._process.returncode is None:
            signal_group(self._process, number)

    def reset_failed(self) -> None:
        """Forget failures and the number of starts."""
        self._starts.clear()
        self.restarts, self.result = 0, "success"
        self.state = "inactive" if self.state == "failed" else self.state

    def _read_service(self) -> Service:
        return read_service(self.file.read_text(encoding="utf-8"), self.name)

    async def _launch(self) -> bool:
        self.invocation = uuid.uuid4().hex
        self.result, self.code, self.status, self._process = "success", 0, 0, None
        try:
            service = self._service = self._read_service()
            if self._is_started_too_often(service):
                return self._fail("start-limit-hit", "Start request repeated too quickly.")
            for path in service.must_exist:
                await asyncio.to_thread(os.stat, path)
            self._environment = {**BASE_ENVIRONMENT, "INVOCATION_ID": self.invocation, **service.environment}
            for path in service.environment_files:
                if not path.startswith("-") or await asyncio.to_thread(os.path.exists, path[1:]):
                    content = await asyncio.to_thread(Path(path.removeprefix("-")).read_bytes)  # each line end stays
                    self._environment |= read_env_file(content.decode())
            words = [self._with_programs(word) for word in expand(service.start, self._environment)]
            self._process = await spawn(words, self._environment, service.folder, stdin=service.stdin)
        except (OSError, ValueError) as error:
            return self._fail("resources", f"Failed to start: {error}")
        state = "activating" if service.oneshot else "active"
        self.state, self.since = state, datetime.now(UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
        self._note(f"Started {self.name}.")
        return True

    def _with_programs(self, word: str) -> str:
        """A unit that sets a PATH of its own finds the stand-in's programs there, too."""
        return (
            word.replace("PATH=", f"PATH={self.programs}:", 1) if word.startswith("PATH=") and self.programs else word
        )

    def _is_started_too_often(self, service: Service) -> bool:
        now = now_seconds()
        self._starts = [start for start in self._starts if now - start < service.start_limit_seconds]
        self._starts.append(now)
        return len(self._starts) > service.start_limit_burst

    def _fail(self, result: str, why: str) -> bool:
        self._note(f"{self.name}: {why}")
        self.state, self.result = "failed", result
        return False

    async def _keep(self) -> None:
        """Restart the process whenever it ends, until the unit is stopped."""
        while (process := self._process) and (service := self._service):
            reading = asyncio.create_task(self._read(process))
            await process.wait()
            signal_group(process, signal.SIGKILL)  # the children that it left behind
            await reading
            self._note_end(process.returncode or 0)
            if self._stopping.is_set() or not service.restarts:
                self.state = "inactive" if self.result == "success" else "failed"
                return
            self.state = "activating"
            await finish_within(service.restart_seconds, self._stopping.wait())
            async with self._changing:
                if self._stopping.is_set():
                    self.state = "inactive"
                    return
                self.restarts += 1
                await self._launch()

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        rest = b""
        while block := await process.stdout.read(65536):
            *lines, rest = (rest[-LONGEST_LINE:] + block).split(b"\n")
            for line in lines:
                self._note(line.decode(errors="replace"), own=True)

    def _note(self, text: str, *, own: bool = False) -> None:
        self.journal.append(Entry(datetime.now(UTC).timestamp(), own, text))

    def _note_end(self, code: int) -> None:
        how = f"killed, status={-code}" if code < 0 else f"exited, status={code}"
        self._note(f"{self.name}: Main process exited, code={how}")
        self.code, self.status = 2 if code < 0 else 1, abs(code)
        if self.result == "success" and code != 0 and -code not in CLEAN_SIGNALS:
            self.result = "signal" if code < 0 else "exit-code"

    async def _end(self, process: Process) -> None:
        """Run the unit's stop command, then send SIGTERM and, when the time is up, SIGKILL."""
        service, environment = self._service, {**self._environment, "MAINPID": str(process.pid)}
        assert service is not None
        if service.stop:
            stopper = await spawn(expand(service.stop, environment), environment, output=DEVNULL)
            await finish_within(service.stop_seconds, stopper.wait())
            await end(stopper, 0)
        if not await end(process, service.stop_seconds):
            self.result = "timeout"
