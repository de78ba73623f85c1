"""One host: its folder, what runs on it, and what its scripts may do next."""

from __future__ import annotations

import copy
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.simulator.loop import EPOCH, Clock
from tests.simulator.process import Ask, Processes, Run
from tests.simulator.world.events import Events
from tests.simulator.world.files import Files, FilesCopy, Left
from tests.simulator.world.systemd import Process, Systemd
from tests.simulator.world.traefik import API_PORT, FOLDER, Traefik

BOOTS_SECONDS = 8.0
LINGER_SECONDS = 0.3  # how long an open request goes on after its visitors were sent elsewhere
TRAEFIK_PID = 900
FOLDERS = ("etc/systemd/system", "etc/traefik/dynamic", "srv", "var/lib", "run", "proc/net", "proc/sys/kernel/random",
           "proc/sys/net/ipv4", "sys/fs/cgroup", "sys/devices/system/cpu")  # fmt: skip


class Watcher(Protocol):
    """Who is told of everything that happens: the oracles, and whoever makes faults."""

    def effect(self, host: Host, what: str, changed: set[str]) -> None: ...

    def before_command(self, host: Host, run: Run, ask: Ask) -> str:
        """What to answer: `go`, or another word of the preamble; empty when the script is not to go on by itself."""
        ...


@dataclass(frozen=True)
class HostCopy:
    """A host at an instant at which no script ran on it."""

    files: FilesCopy
    systemd: dict[str, Any]
    traefik: dict[str, Any]
    pending: dict[int, tuple[float, str, tuple[Any, ...]]]
    event_count: int
    boot: int
    boot_seconds: float
    seconds: float
    accepted: dict[Any, Any]


@dataclass
class Host:
    """A machine in a folder."""

    name: str
    serial: int
    processes: Processes
    clock: Clock
    dice: random.Random
    watcher: Watcher
    boots: int = 1
    boot_seconds: float = 900.0
    up: bool = True
    reachable_from: float = 0.0
    commands_before: dict[int, int] = field(default_factory=dict)
    was: dict[Any, Any] = field(default_factory=dict)  # what oracles remember of it
    slow: float = 1.0
    acting: Run | None = None  # the script whose command has an effect just now
    full: bool = False  # nothing can be written
    key_changed: bool = False
    refuses: int = 0  # new connections, while this is more than 0

    def __post_init__(self) -> None:
        self.root = self.processes.folder / f"host-{self.name}"
        self.files = Files(self.root)
        self.events = Events(self)
        self.systemd = Systemd(self)
        self.traefik = Traefik(self)
        self.runs: dict[int, Run] = {}
        self.syncs: dict[tuple[int, int], tuple[str, ...]] = {}
        self.lies: dict[tuple[int, int], int] = {}  # the status of a command that says it failed, and did not
        self.lock_since: dict[tuple[int, int], float] = {}
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        self._write_facts()
        self.traefik_begins()
        self.files.settle(self.epoch)

    @property
    def now(self) -> float:
        return self.clock.seconds

    @property
    def epoch(self) -> float:
        return EPOCH + self.clock.seconds

    def real(self, path: str) -> Path:
        """A path of the host as one of this machine."""
        return Path(path) if path.startswith(str(self.root)) else Path(f"{self.root}{path}")

    # What the kernel tells.

    def _write_facts(self) -> None:
        proc = self.root / "proc"
        (proc / "sys/kernel/random/boot_id").write_text(f"{self.serial:08x}-0000-4000-8000-{self.boots:012x}\n")
        (proc / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable:    6000000 kB\n")
        (proc / "sys/net/ipv4/tcp_migrate_req").write_text("0\n")
        (self.root / "sys/devices/system/cpu/online").write_text("0-3\n")
        (self.root / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/sys/kernel/arch").write_text("x86_64\n")
        self.tables_changed()

    def set_time(self) -> None:
        self.processes.set_time(self.epoch)
        # By a rename: a script that reads meanwhile would find an empty file, as it never does on a host.
        fresh = self.root / "proc/.uptime"
        fresh.write_text(f"{self.now - self.boot_seconds:.2f} 0.00\n")
        fresh.rename(self.root / "proc/uptime")

    def tables_changed(self) -> None:
        lines = ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"]
        number = 0

        def add(port: int, address: str, state: str, inode: int) -> None:
            nonlocal number
            remote = "00000000:0000" if state == "0A" else "0100007F:D431"
            lines.append(
                f"{number:4d}: {address}:{port:04X} {remote} {state} 00000000:00000000 00:00000000 00000000 "
                f"65534        0 {inode} 1 0000000000000000 100 0 0 10 0"
            )
            number += 1

        if not self.traefik.down:
            add(API_PORT, "0100007F", "0A", 500)
        for process in self.systemd.processes:
            if process.listening:
                add(process.port, "00000000", "0A", 10_000 + process.pid)
                for count in range(process.connections):
                    add(process.port, "0100007F", "01", 50_000 + 10 * process.pid + count)
        (self.root / "proc/net/tcp").write_text("\n".join(lines) + "\n")

    def process_began(self, process: Process) -> None:
        folder = self.root / "proc" / str(process.pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "fd/7").symlink_to(f"socket:[{10_000 + process.pid}]")
        (folder / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in process.env.items()))
        (folder / "status").write_text("Name:\tx\nGid:\t100\t100\t100\t100\nVmRSS:\t   20000 kB\n")
        (folder / "cwd").symlink_to(self.root / "srv" / process.app / "releases" / process.release)
        state = self.root / "var/lib/private" / process.app
        state.mkdir(parents=True, exist_ok=True)
        link = self.root / "var/lib" / process.app
        if not link.is_symlink():
            link.symlink_to(f"private/{process.app}")
        (self.root / "run" / process.app / str(process.port or "worker")).mkdir(parents=True, exist_ok=True)
        self._happened(f"{process.unit} began", files=True)

    def process_ended(self, process: Process, why: str) -> None:
        shutil.rmtree(self.root / "proc" / str(process.pid))
        process.listening = False
        self.was["ended"] = (process, why)
        self.tables_changed()
        self._happened(f"{process.unit} {why}")
        self.was.pop("ended", None)

    def process_told_to_end(self, process: Process) -> None:
        self.was["told to end"] = process
        self._happened(f"{process.unit} is told to end")
        self.was.pop("told to end", None)
        process.listening = False
        self.tables_changed()
        self._happened(f"{process.unit} ends")

    def migrated(self, release: str, good: bool) -> None:
        self.was.setdefault("migrations", []).append((release, good))

    # Events by name.

    def process_listens(self, name: str, pid: int) -> None:
        self.systemd.listens(name, pid)
        self._visitors_move()
        self._happened(f"{name} listens")

    def process_dies(self, name: str, pid: int) -> None:
        self.systemd.dies(name, pid)

    def process_stopped(self, name: str, pid: int) -> None:
        self.systemd.stopped(name, pid)

    def unit_restarts(self, name: str) -> None:
        self.systemd.restarts(name)

    def migration_ends(self, unit: str, release: str, after: list[str], good: bool) -> None:
        self.systemd.migration_ends(unit, release, after, good)

    def timer_elapses(self, name: str) -> None:
        self.systemd.jobs.elapses(name)

    def job_run_ends(self, name: str, status: int) -> None:
        self.systemd.jobs.run_ends(name, status)

    def job_happens(self, what: str) -> None:
        self._happened(what)

    def traefik_reads(self) -> None:
        self.traefik.read()

    def route_applied(self) -> None:
        self._visitors_move()
        self._happened("Traefik applied its folder")

    def _visitors_move(self) -> None:
        """Connections stay open where requests are sent; those of before end in a moment."""
        ports = {self.traefik.port_of(app) for app in self.traefik.apps}
        for process in self.systemd.processes:
            if process.port in ports and process.listening:
                process.connections = 2
            elif process.connections == 2:
                process.connections = 1
                self.events.after(LINGER_SECONDS, "visitors_left", process.unit, process.pid)
        self.tables_changed()

    def visitors_left(self, name: str, pid: int) -> None:
        process = self.systemd.unit(name).process
        if process and process.pid == pid and process.connections == 1:
            process.connections = 0
            self.tables_changed()

    def traefik_begins(self) -> None:
        unit = self.systemd.unit("traefik.service")
        unit.state, unit.invocation = "active", "f" * 32
        self.traefik.start()

    def _happened(self, what: str, *, files: bool = False) -> None:
        if files:
            self.look_at_files(what)
        else:
            self.watcher.effect(self, what, set())

    def look_at_files(self, what: str) -> set[str]:
        """After every effect: see what changed, tell Traefik, and ask the oracles."""
        changed = self.files.scan(self.epoch)
        if any(path.startswith(FOLDER + "/") for path in changed):
            self.traefik.folder_changed()
        self.watcher.effect(self, what, changed)
        return changed

    # Scripts.

    def begin(self, verb: str, text: str, arguments: tuple[str, ...], stdin: bytes, on_end: Any, **how: Any) -> Run:
        self.set_time()
        moved = tuple(
            f"{self.root}{each}" if each.startswith(("/srv", "/etc", "/var", "/run")) else each for each in arguments
        )

        def ended(run: Run) -> None:
            self._after_command(run, 0, f"{run.verb} ended")
            self.runs.pop(run.number, None)
            on_end(run)

        run = self.processes.start(
            self.name, self.root, verb, text, moved, stdin, on_ask=self._asked, on_end=ended, **how
        )
        if not run.ended:
            self.runs[run.number] = run
        return run

    def _asked(self, run: Run, ask: Ask) -> None:
        if run.ended:  # by what happened when another part of it asked
            return
        self.runs[run.number] = run  # also at its first command, while it is being begun
        self._after_command(run, ask.lane, f"{run.verb}: {' '.join(ask.words[:4])}")
        answer = self.watcher.before_command(self, run, ask)
        if answer:
            self.schedule(run, ask, answer)

    def schedule(self, run: Run, ask: Ask, answer: str, after: float = 0.0) -> None:
        """Let it go on, in a moment of virtual time."""
        seconds = after + self.slow * self.dice.uniform(0.0005, 0.003)
        self._later(seconds, lambda: self._go(run, ask, answer))

    def _later(self, seconds: float, call: Any) -> None:
        import asyncio

        asyncio.get_running_loop().call_later(seconds, call)

    def _go(self, run: Run, ask: Ask, answer: str) -> None:
        if run.ended or run.parked.get(ask.lane) is not ask:
            return
        self.set_time()
        word = ask.words[0]
        if answer.startswith("after ") and word in ("systemctl", "systemd-run", "journalctl"):
            self.lies[run.number, ask.lane] = int(answer.removeprefix("after "))
        elif answer != "go":
            self.processes.answer(run, ask.lane, answer)
            return
        if word == "sync":
            self.syncs[run.number, ask.lane] = ask.words
        model = getattr(self, f"_do_{word.replace('-', '_')}", None)
        if model:
            model(run, ask)
        else:
            self.processes.answer(run, ask.lane, "go")

    def _after_command(self, run: Run, lane: int, what: str) -> None:
        changed_by = self.syncs.pop((run.number, lane), None)
        self.acting = run
        self.look_at_files(what)
        self.acting = None
        if changed_by:
            for word in changed_by[1:]:
                path = word.removeprefix(f"{self.root}/")
                if word.startswith("-"):
                    continue
                if "-f" in changed_by:
                    self.files.sync_system(path.partition("/")[0])
                else:
                    self.files.sync_file(path)

    def _do_systemctl(self, run: Run, ask: Ask) -> None:
        self.acting = run
        answer = self.systemd.answer(ask.words, (run.number, ask.lane))
        self.acting = None
        self._answer(run, ask, answer)

    def _do_systemd_run(self, run: Run, ask: Ask) -> None:
        self._answer(run, ask, self.systemd.run_once(ask.words, (run.number, ask.lane)))

    def _do_journalctl(self, run: Run, ask: Ask) -> None:
        self._answer(run, ask, self.systemd.journalctl(ask.words))

    def _answer(self, run: Run, ask: Ask, answer: tuple[int, str] | None) -> None:
        if answer is None:
            return
        status, text = answer
        status = self.lies.pop((run.number, ask.lane), status)
        if text:
            self.processes.answer_output(run, ask.lane, status, text)
        else:
            self.processes.answer(run, ask.lane, f"status {status}")

    def answer_later(self, number: int, lane: int, status: int, text: str = "") -> None:
        """What systemctl waited for is over."""
        run = self.runs.get(number)
        if run and (ask := run.parked.get(lane)):
            self._later(0.001, lambda: self._finish(run, ask, status, text))

    def _finish(self, run: Run, ask: Ask, status: int, text: str) -> None:
        if not run.ended and run.parked.get(ask.lane) is ask:
            self.set_time()
            self._answer(run, ask, (status, text))

    def _do_sleep(self, run: Run, ask: Ask) -> None:
        self._later(float(ask.words[1]), lambda: self._resume(run, ask, "status 0"))

    def _do_flock(self, run: Run, ask: Ask) -> None:
        self.lock_since.setdefault((run.number, ask.lane), self.now)
        self.processes.answer(run, ask.lane, "go")

    def _do_locked(self, run: Run, ask: Ask) -> None:
        longest = float(ask.words[2]) if ask.words[1] == "-w" else 0.0
        if self.now - self.lock_since[run.number, ask.lane] >= longest:
            self.lock_since.pop((run.number, ask.lane))
            self.processes.answer(run, ask.lane, "status 1")
        else:
            self._later(0.25, lambda: self._resume(run, ask, "go"))

    def _do_timeout(self, run: Run, ask: Ask) -> None:
        if run.stalled:
            self._later(float(ask.words[1]), lambda: self._resume(run, ask, "status 124"))
        else:
            self.processes.answer(run, ask.lane, "go")

    def _resume(self, run: Run, ask: Ask, answer: str) -> None:
        if not run.ended and run.parked.get(ask.lane) is ask:
            self.set_time()
            self.processes.answer(run, ask.lane, answer)

    # The end of it, and a new beginning.

    def power_cut(self, left: Left) -> None:
        """Everything that runs is gone, and of the files what was not on the disk. It boots by itself."""
        self.look_at_files("the power goes")
        self.up = False
        for run in list(self.runs.values()):
            self.processes.kill(run)
        self.runs.clear()
        self.events.clear()
        self.was["power cut"] = True
        self.systemd.power_lost()
        self.traefik.down, self.traefik.held, self.traefik.pending = True, {}, 0
        self.files.cut(left, self.epoch)
        for folder in ("run", "etc", "srv", "var"):
            (self.root / folder).mkdir(exist_ok=True)
        self.boots += 1
        self.reachable_from = self.now + BOOTS_SECONDS
        self.events.after(BOOTS_SECONDS - 1, "boot")

    def boot(self) -> None:
        self.up, self.boot_seconds = True, self.now
        self._write_facts()
        self.files.scan(self.epoch)
        self.traefik_begins()
        self.systemd.boot()
        self.was.pop("power cut", None)
        self.was["booted"] = self.now
        self._happened("booted", files=True)

    def copy(self) -> HostCopy:
        assert not self.runs, "a script cannot be copied"
        return HostCopy(
            self.files.copy(), self.systemd.state_copy(), self.traefik.state_copy(), copy.deepcopy(self.events.pending),
            self.events.count, self.boots, self.boot_seconds, self.now, copy.deepcopy(self.was),
        )  # fmt: skip

    def restore(self, taken: HostCopy) -> None:
        self.clock.seconds = max(self.clock.seconds, taken.seconds)
        self.boots, self.boot_seconds = taken.boot, taken.boot_seconds
        self.was = copy.deepcopy(taken.accepted)
        shutil.rmtree(self.root / "proc")
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.systemd.restore(taken.systemd)
        for unit in self.systemd.units.values():
            unit.text = unit.text and unit.text.replace(taken.files.root.decode(), str(self.root))
        self.traefik.restore(taken.traefik)
        self.events.clear()
        self.events.restore(taken.pending, taken.event_count)
        for process in self.systemd.processes:
            place = self.root / "proc" / str(process.pid)
            (place / "fd").mkdir(parents=True)
            (place / "fd/7").symlink_to(f"socket:[{10_000 + process.pid}]")
            (place / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in process.env.items()))
            (place / "status").write_text("Name:\tx\nGid:\t100\t100\t100\t100\nVmRSS:\t   20000 kB\n")
        self._write_facts()
        self.files.restore(taken.files, self.epoch)
