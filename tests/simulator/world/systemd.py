"""systemd as far as the scripts go: units of real unit files, processes that behave as their release says.

A release says so in its file `sim.json`: seconds until it listens (`boot`), what it answers (`answers`), after how many
seconds it dies (`dies`), how long it takes to stop (`stops`). An env variable SIM of the same form wins.
"""

from __future__ import annotations

import copy
import fnmatch
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.demo.unit import Service, read_env_file, read_service
from tests.simulator.world.jobs import Jobs

if TYPE_CHECKING:
    from tests.simulator.world.host import Host

VERSION = "systemd 255 (255.4-1)\n+PAM -SELINUX\n"
MULTI_USER = "etc/systemd/system/multi-user.target.wants"
TIMERS = "etc/systemd/system/timers.target.wants"


@dataclass
class Process:
    """The main process of a unit."""

    pid: int
    unit: str
    app: str
    port: int
    release: str
    env: dict[str, str]
    behaviour: dict[str, Any]
    began: float
    listening: bool = False
    connections: int = 0
    healthy_since: float | None = None

    @property
    def answers(self) -> int:
        return int(self.behaviour.get("answers", 200)) if self.listening else 0

    @property
    def identity(self) -> str:
        return self.env.get("RECONCILE_INSTANCE", "")


@dataclass
class Unit:
    """What systemd knows of one."""

    name: str
    state: str = "inactive"
    invocation: str = ""
    restarts: int = 0
    status: int = 0
    code: int = 0  # 1: its last process exited, 2: a signal ended it
    result: str = "success"
    since: str = ""
    text: str | None = None  # as it was loaded: daemon-reload reads it again
    process: Process | None = None
    starts: list[float] = field(default_factory=list)
    accepted: bool = False
    stopping: list[tuple[int, int]] = field(default_factory=list)  # (run, lane) that wait for its end
    then_start: bool = False
    restart_event: int = 0


Answer = tuple[int, str] | None
"""Status and output; None when it is given later."""


@dataclass
class Systemd:
    """All units of a host."""

    host: Host
    units: dict[str, Unit] = field(default_factory=dict)
    pids: int = 1000
    invocations: int = 0
    journal: list[tuple[float, str, bool, str]] = field(default_factory=list)
    migrations: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self)

    def state_copy(self) -> dict[str, Any]:
        assert not self.jobs.under_way, "the run of a job cannot be copied"
        names = ("units", "pids", "invocations", "journal", "migrations", "counts")
        return copy.deepcopy({name: getattr(self, name) for name in names})

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in copy.deepcopy(state).items():
            setattr(self, name, value)

    def unit(self, name: str) -> Unit:
        return self.units.setdefault(name, Unit(name))

    @property
    def processes(self) -> list[Process]:
        return [unit.process for unit in self.units.values() if unit.process]

    # What systemctl is asked.

    def answer(self, words: tuple[str, ...], asked_by: tuple[int, int]) -> Answer:  # noqa: C901 - one line a verb
        options = [word for word in words[1:] if word.startswith("-")]
        verb, *names = _names(words[1:]) or [""]
        if "--version" in options:
            return 0, VERSION
        match verb:
            case "show":
                return self._show(words, names)
            case "list-units":
                state = next((each for each in options if each.startswith("--state=")), "--state=").partition("=")[2]
                found = [u for u in self._matching(names) if u.state in state.split(",")]
                return 0, "".join(f"{unit.name} loaded {unit.state} running x\n" for unit in found)
            case "daemon-reload":
                for unit in self.units.values():
                    unit.text = None
                return 0, ""
            case "is-active":
                return (0, "") if all(self.unit(name).state == "active" for name in names) else (3, "")
            case "is-enabled":
                return (0, "") if all(self.is_enabled(name) for name in names) else (1, "")
            case "enable":
                return self._enable(names)
            case "disable":
                for name in names:
                    (self.host.root / _wants(name) / name).unlink(missing_ok=True)
                return 0, ""
            case "reset-failed":
                for unit in self._matching(names):
                    unit.starts.clear()
                    unit.restarts, unit.result = 0, "success"
                    unit.state = "inactive" if unit.state == "failed" else unit.state
                return 0, ""
            case "kill":
                for name in names:
                    self._end(self.unit(name), 9, "killed by us")
                return 0, ""
            case "start":
                unit = self.unit(names[0])
                if self.jobs.is_run(unit):
                    return None if self.jobs.start_run(unit, asked_by) else (1, "")
                return self._start_all(names)
            case "stop":
                return self._stop_all(names, asked_by, wait="--no-block" not in options)
            case "restart":
                return self._restart(self.unit(names[0]), asked_by)
            case "try-restart" | "clean":
                return 0, ""
        raise AssertionError(f"the model of systemctl does not know {words}")

    def _matching(self, patterns: list[str]) -> list[Unit]:
        full = [each if "." in each else each + ".service" if each.endswith("*") else each for each in patterns]
        return [u for u in self.units.values() if any(fnmatch.fnmatchcase(u.name, each) for each in full)]

    def _show(self, words: tuple[str, ...], names: list[str]) -> Answer:
        only = "-P" in words
        wanted = [p for at, w in enumerate(words) if w in ("-p", "-P") for p in words[at + 1].split(",")]
        blocks = []
        for name in names:
            units = self._matching([name]) if any(sign in name for sign in "*?[") else [self.unit(name)]
            for unit in units:
                self._load(unit)
                values = {key: value for key, value in self._properties(unit).items() if key in wanted}
                blocks.append("".join(f"{v}\n" if only else f"{k}={v}\n" for k, v in values.items()))
        return 0, "\n".join(blocks)

    def _properties(self, unit: Unit) -> dict[str, str]:
        pid = unit.process.pid if unit.process else 0
        return {
            "MainPID": str(pid),
            "Result": unit.result,
            "NRestarts": str(unit.restarts),
            "ExecMainStatus": str(unit.status),
            "ExecMainCode": str(unit.code),
            "ControlGroup": f"/system.slice/{unit.name}" if pid else "",
            "Id": unit.name,
            "LoadState": "loaded" if unit.text is not None else "not-found",
            "ActiveState": unit.state,
            "SubState": {"active": "running", "activating": "auto-restart"}.get(unit.state, "dead"),
            "ActiveEnterTimestamp": unit.since,
            "InvocationID": unit.invocation,
        }

    def is_enabled(self, name: str) -> bool:
        return (self.host.root / _wants(name) / name).is_symlink()

    def _enable(self, names: list[str]) -> Answer:
        for name in names:
            if self._path(name) is None:
                return 1, ""
            link = self.host.root / _wants(name) / name
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            file = name if name.endswith((".timer", ".socket")) else f"{name.partition('@')[0]}@.service"
            link.symlink_to(f"/etc/systemd/system/{file}")
        return 0, ""

    def _path(self, name: str) -> Path | None:
        prefix, at, _ = name.partition("@")
        template = f"{prefix}@.service" if at else name
        for folder, file in (("etc", name), ("run", name), ("etc", template), ("run", template)):
            path = self.host.root / folder / "systemd/system" / file
            if path.exists():
                return path
        return None

    def _load(self, unit: Unit) -> None:
        if unit.text is None and (path := self._path(unit.name)):
            unit.text = path.read_text()

    def text_of(self, unit: Unit) -> str:
        self._load(unit)
        return unit.text or ""

    def _service(self, unit: Unit) -> Service | None:
        self._load(unit)
        return read_service(unit.text, unit.name) if unit.text is not None else None

    # Starting, ending, starting again.

    def _start_all(self, names: list[str]) -> Answer:
        return (0, "") if all([self.start(self.unit(name)) for name in names]) else (1, "")

    def start(self, unit: Unit, *, counts: bool = True) -> bool:
        if unit.state == "active" or unit.name == "traefik.service":
            return True
        self.host.events.cancel(unit.restart_event)
        if unit.name.endswith(".socket"):
            unit.state = "active" if self._path(unit.name) else "inactive"
            return unit.state == "active"
        if unit.name.endswith(".timer"):
            unit.state = "active" if self._path(unit.name) else "inactive"
            self.jobs.arm(unit)
            return unit.state == "active"
        service = self._service(unit)
        if service is None:
            return False
        if self.jobs.is_starter(unit):
            return self.jobs.begin(unit)
        self.counts["start"] = self.counts.get("start", 0) + counts
        return self._launch(unit, service)

    def _launch(self, unit: Unit, service: Service) -> bool:
        now = self.host.now
        unit.starts = [at for at in unit.starts if now - at < service.start_limit_seconds] + [now]
        if service.start_limit_seconds and len(unit.starts) > service.start_limit_burst:
            return self._fail(unit, "start-limit-hit")
        self.invocations += 1
        unit.invocation = f"{self.host.serial:08x}{self.invocations:024x}"
        real = self.host.real
        if not all(real(path).exists() for path in service.must_exist):
            self.note(unit.name, "Assertion failed.")
            unit.state = "inactive"
            return False
        try:
            env, folder = self._env_and_folder(service)
        except (OSError, ValueError) as error:
            self.note(unit.name, f"Failed to load: {error}")
            return self._fail(unit, "resources")
        behaviour = _behaviour(folder, env)
        self.pids += 1
        app, _, slot = unit.name.removesuffix(".service").partition("@")
        port = int(slot) if slot.isdigit() else 0
        unit.process = Process(self.pids, unit.name, app, port, folder.name, env, behaviour, now)
        unit.state, unit.result, unit.status, unit.code = "active", "success", 0, 0
        unit.since = f"@{now:.3f}"
        self.host.process_began(unit.process)
        self.note(unit.name, f"{folder.name} starts", own=True)
        if (port and "answers" in behaviour) or behaviour.get("answers", 200):
            self.host.events.after(float(behaviour.get("boot", 0.3)), "process_listens", unit.name, self.pids)
        if behaviour.get("dies") is not None:
            self.host.events.after(float(behaviour["dies"]), "process_dies", unit.name, self.pids)
        return True

    def _env_and_folder(self, service: Service) -> tuple[dict[str, str], Path]:
        """Raises OSError or ValueError."""
        env = dict(service.environment)
        for path in service.environment_files:
            file = self.host.real(path.removeprefix("-"))
            if file.exists() or not path.startswith("-"):
                env |= read_env_file(file.read_bytes().decode())
        return env, self.host.real(service.folder).resolve(strict=True)

    def service_and_behaviour(self, unit: Unit) -> tuple[Service | None, dict[str, Any] | None]:
        """Both None if systemd could not start it."""
        service = self._service(unit)
        try:
            env, folder = self._env_and_folder(service) if service else ({}, Path("/nowhere"))
        except (OSError, ValueError):
            return service, None
        return service, _behaviour(folder, env)

    def _fail(self, unit: Unit, result: str) -> bool:
        unit.state, unit.result = "failed", result
        self.note(unit.name, f"Failed with result '{result}'.")
        return False

    def listens(self, name: str, pid: int) -> None:
        process = self.unit(name).process
        if process and process.pid == pid:
            process.listening = True
            process.healthy_since = self.host.now if 200 <= process.answers < 300 else None
            self.host.tables_changed()

    def dies(self, name: str, pid: int, status: int = 1) -> None:
        """By itself."""
        unit = self.unit(name)
        if unit.process and unit.process.pid == pid:
            self._end(unit, status, "died by itself")

    def _end(self, unit: Unit, status: int, why: str) -> None:
        process = unit.process
        if process is None:
            return
        self.host.process_ended(process, why)
        unit.process = None
        unit.status, unit.code = status, 2 if status == 9 else 1
        unit.result = {0: "success", 9: "signal"}.get(status, "exit-code")
        service = self._service(unit)
        self.note(unit.name, f"Main process exited, status={status}")
        if service is None or not service.restarts:
            unit.state = "failed" if status else "inactive"
            return
        unit.state = "activating"
        unit.restart_event = self.host.events.after(max(service.restart_seconds, 0.1), "unit_restarts", unit.name)

    def restarts(self, name: str) -> None:
        unit = self.unit(name)
        service = self._service(unit)
        if unit.state == "activating" and service:
            unit.restarts += 1
            self._launch(unit, service)

    def _stop_all(self, names: list[str], asked_by: tuple[int, int], *, wait: bool) -> Answer:
        answer: Answer = (0, "")
        for name in names:
            if self._stop(self.unit(name)) and wait:
                self.unit(name).stopping.append(asked_by)
                answer = None
        return answer

    def _stop(self, unit: Unit) -> bool:
        """True when its end has to be waited for."""
        if self.jobs.end(unit):
            return True
        if unit.state == "activating":
            self.host.events.cancel(unit.restart_event)
            unit.state = "inactive"
        process = unit.process
        if process is None:
            unit.state = "inactive" if unit.name.endswith((".timer", ".socket")) else unit.state
            return False
        if unit.state != "deactivating":
            self.counts["stop"] = self.counts.get("stop", 0) + 1
            unit.state = "deactivating"
            self.host.process_told_to_end(process)
            service = self._service(unit)
            longest = service.stop_seconds if service else 90
            seconds = min(float(process.behaviour.get("stops", 0.05)), longest)
            self.host.events.after(seconds, "process_stopped", unit.name, process.pid)
        return True

    def stopped(self, name: str, pid: int) -> None:
        unit = self.unit(name)
        process = unit.process
        if process is None or process.pid != pid:
            return
        self.host.process_ended(process, "was stopped")
        unit.process, unit.state, unit.result, unit.status, unit.code = None, "inactive", "success", 0, 1
        status = 0
        if unit.then_start:
            unit.then_start = False
            status = 0 if self.start(unit) else 1
        self.let_go(unit, status)

    def let_go(self, unit: Unit, status: int = 0) -> None:
        """Answer those who wait for its end."""
        waiting, unit.stopping = unit.stopping, []
        for run, lane in waiting:
            self.host.answer_later(run, lane, status)

    def _restart(self, unit: Unit, asked_by: tuple[int, int]) -> Answer:
        if self._stop(unit):
            unit.then_start = True
            unit.stopping.append(asked_by)
            return None
        return (0, "") if self.start(unit) else (1, "")

    def note(self, unit: str, text: str, *, own: bool = False) -> None:
        self.journal.append((self.host.epoch, unit, own, text))

    def journalctl(self, words: tuple[str, ...]) -> tuple[int, str]:
        since = next((float(w[1:]) for w in words if w.startswith("@")), 0.0)
        own = next((w.partition("=")[2] for w in words if w.startswith("_SYSTEMD_UNIT=")), "")
        name = own or (words[words.index("-u") + 1] if "-u" in words else "")
        lines = [t for at, unit, by, t in self.journal if unit == name and at >= since and (by or not own)]
        return 0, "".join(f"{line}\n" for line in lines[-1000:])

    def power_lost(self) -> None:
        for unit in self.units.values():
            if unit.process:
                self.host.process_ended(unit.process, "lost its power")
        self.units.clear()
        self.migrations.clear()
        self.jobs.power_lost()

    def boot(self) -> None:
        """What is enabled comes up."""
        for folder in (self.host.root / MULTI_USER, self.host.root / TIMERS):
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                self.start(self.unit(path.name), counts=False)

    # Migrations and hooks.

    def run_once(self, words: tuple[str, ...], asked_by: tuple[int, int]) -> Answer:
        """systemd-run --wait: a migration or hook of a release, which says in its behaviour how it goes."""
        settings = dict(word.partition("=")[::2] for word in words if "=" in word)
        unit = next(w.partition("=")[2] for w in words if w.startswith("--unit="))
        folder = self.host.real(settings["WorkingDirectory"])
        behaviour = _behaviour(folder, {})
        after = next((w for w in words if w.startswith("ExecStartPost=")), "").split()
        what = "hook" if unit.endswith("-hook.service") else "migrate" if after else "before"
        self.counts[what] = self.counts.get(what, 0) + 1
        each = self.unit(unit)
        each.state = "activating"
        good = what != "migrate" or behaviour.get("migrates", True)
        self.migrations[unit] = [*self.migrations.get(unit, ()), asked_by]
        self.host.events.after(
            float(behaviour.get("migration", 0.5)), "migration_ends", unit, folder.name, after[1:], good
        )
        return None

    def migration_ends(self, unit: str, release: str, after: list[str], good: bool) -> None:
        if unit.endswith("-migrate.service") and after:
            self.host.migrated(release, good)
        self.unit(unit).state = "inactive" if good else "failed"
        if good and after:  # `touch FILE`, or `mv -T FILE FILE`
            *before, done = (self.host.real(path) for path in after if path.startswith("/"))
            if before:
                before[0].replace(done)
            else:
                done.touch()
        for run, lane in self.migrations.pop(unit, ()):
            said = "" if good else f"Job for {unit} failed because the control process exited with error code.\n"
            self.host.answer_later(run, lane, 0 if good else 1, said)


def _wants(name: str) -> str:
    return TIMERS if name.endswith(".timer") else MULTI_USER


def _names(words: tuple[str, ...]) -> list[str]:
    names, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("-p", "-P", "-s", "-n"):
            skip = True
        elif not word.startswith("-"):
            names.append(word)
    return names


def _behaviour(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    try:
        said = json.loads((folder / "sim.json").read_text())
    except (OSError, ValueError):
        return {"answers": 0, "dies": 0.05}  # nothing there that could be started
    return {**said, **(json.loads(env["SIM"]) if env.get("SIM") else {})}
