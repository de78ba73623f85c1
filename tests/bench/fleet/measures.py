"""What thousands of hosts cost one controller: a pass from cold, a pass in a watch, and a commit that changes all."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.bench.fleet import cost
from tests.bench.lab import Lab
from tests.bench.table import Row, spread
from tests.bench.watching import cpu_seconds, memory_megabytes, until
from tests.hosts.process import HostsError, command
from tests.hosts.watching import Watching, watching

REPOSITORY = Path(__file__).resolve().parents[3]
INTERVAL_SECONDS = 5  # between the passes of a watch
QUIET_PASSES = 3


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    files: int
    server_cpu_seconds: float = 0.0
    connections: int = 0
    code: int = 0

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s, CPU {self.cpu_seconds:.1f} s, {self.megabytes:.0f} MiB, {self.files} files; "
            f"server CPU {self.server_cpu_seconds:.1f} s"
        )


@dataclass
class Server:
    """The process that plays the hosts."""

    process: subprocess.Popen[str]
    port: int
    used: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A fleet, and under which circumstances it is looked at."""

    hosts: int
    apps: int
    distance_milliseconds: int = 0
    silent_percent: int = 0
    open_files: int = 0  # 0: as many as this machine allows

    @property
    def name(self) -> str:
        more = [f"{self.distance_milliseconds} ms"] if self.distance_milliseconds else []
        more += [f"{self.silent_percent} % silent"] if self.silent_percent else []
        more += [f"{self.open_files} open files"] if self.open_files else []
        return f"{self.hosts:,} × {self.apps}" + "".join(f", {each}" for each in more)


@dataclass
class Fleets:
    """The records of a real host with one app and with five, and a folder to play them from."""

    lab: Lab
    folder: Path
    records: dict[str, Path] = field(default_factory=dict)
    texts: dict[int, dict[str, str]] = field(default_factory=dict)  # the apps, by number; 0: one, changed

    @property
    def environ(self) -> Mapping[str, str]:
        """A HOME without ~/.ssh/config: with one, each host costs a process `ssh -G`."""
        home = self.folder / "home"
        return {**self.lab.environ, "HOME": str(home)}

    def prepare(self) -> None:
        """Record quiet passes with one app and with five, and the rollout of another env to one."""
        (self.folder / "home/.ssh").mkdir(parents=True)
        key = self.folder / "home/.ssh/id_ed25519"
        command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
        with self.lab.apps(5):
            self.record("five", "--once")
            self.texts = {5: self._texts()}
        self.texts[1] = before = self._texts()
        self.record("before", "--once")
        self.lab.want()
        self.texts[0] = self._texts()
        self.record("change", "--once")
        self.record("after", "--once")
        assert before != self.texts[0]

    def _texts(self) -> dict[str, str]:
        folder = self.lab.project.file.parent
        return {path.name: path.read_text() for path in sorted(folder.glob("*.yaml"))}

    def record(self, name: str, *words: str) -> None:
        path = self.folder / f"{name}.jsonl"
        ended = self.lab.run(
            [sys.executable, "-m", "tests.bench.fleet.record", str(path), *words],
            environ={**self.lab.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        if ended.code != 0:
            raise HostsError(f"recording {name}: {ended}")
        self.records[name] = path

    @contextmanager
    def server(self, setting: Setting, *records: str) -> Iterator[Server]:
        words = [sys.executable, "-m", "tests.bench.fleet.server", str(self.folder / "home/.ssh/id_ed25519")]
        words += [str(setting.distance_milliseconds), str(setting.silent_percent)]
        words += [str(self.records[name]) for name in records]
        with subprocess.Popen(
            words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout and process.stdin
            server = Server(process, int(process.stdout.readline()))
            try:
                yield server
            finally:
                process.stdin.close()
                server.used = json.loads(process.stdout.readline() or "{}")

    def write(self, setting: Setting, port: int, *, changed: bool = False) -> str:
        """Commit a desired state of so many hosts and apps, before or after the change; the name of its folder."""
        folder = self.lab.project.folder / "fleet"
        (folder / "apps").mkdir(parents=True, exist_ok=True)
        host_key = (self.folder / "home/.ssh/id_ed25519.pub").read_text().strip()
        names = [f"h{number:04}" for number in range(1, setting.hosts + 1)]
        places = ((name, f"127.1.{n // 250}.{1 + n % 250}") for n, name in enumerate(names))
        lines = [f"  {name}: {{address: {at}, port: {port}, host_key: {host_key}}}\n" for name, at in places]
        (folder / "fleet.yaml").write_text("hosts:\n" + "".join(lines))
        for app in folder.glob("apps/*"):
            app.unlink()
        here, there = json.dumps([self.lab.machine.name]), json.dumps(names)
        for name, text in self.texts[0 if changed else setting.apps].items():
            (folder / "apps" / name).write_text(text.replace(here, there) + "rollout: {batch: 100%}\n")
        self.lab.project.commit()
        return folder.name

    def once(self, setting: Setting) -> Cost:
        """A fresh process over hosts where everything is as desired."""
        return self._once(setting, "before" if setting.apps == 1 else "five")

    def change(self, setting: Setting) -> Cost:
        """A fresh process that rolls out another env to every host."""
        return self._once(setting, "before", "change", "after", changed=True)

    def _once(self, setting: Setting, *records: str, changed: bool = False) -> Cost:
        with self.server(setting, *records) as server:
            name = self.write(setting, server.port, changed=changed)
            words = [*self.lab.command, "--once", "--verbose", "--desired-state", name]
            ended = self.lab.run(
                [sys.executable, "-I", "-S", cost.__file__, str(setting.open_files), *words], environ=self.environ
            )
        last = ended.out.splitlines()[-1]
        used = server.used
        took = Cost(**json.loads(last), server_cpu_seconds=used["cpu_seconds"], connections=used["connections"])
        expected = 1 if setting.silent_percent else 0
        if took.code != expected or used["unknown"]:
            said = "".join(line[:300] for _, line in ended.lines[:12])
            raise HostsError(f"{setting.name}: exit {took.code}, {used}\n{said}")
        return took

    def watch(self, setting: Setting) -> tuple[list[Cost], list[Cost]]:
        """(quiet passes of a watch, one commit that changes every host, for one app): from the passes that it logs."""
        records = ("before", "change", "after") if setting.apps == 1 else ("five",)
        changes = list[Cost]()
        with self.server(setting, *records) as server:
            name = self.write(setting, server.port)
            words = [*self.lab.command, "--verbose", "--interval", str(INTERVAL_SECONDS), "--desired-state", name]
            with watching(words, self.lab.project.folder, dict(self.environ)) as watch:
                meter = Meter(watch)
                until(lambda: len(watch.since(0, "pass.finished")) >= 1, 300, "the first pass")
                meter.begin()
                until(lambda: len(meter.passes) >= QUIET_PASSES, 300, "quiet passes")
                quiet = [meter.cost(each["seconds"], len(meter.passes)) for each in meter.passes]
                if setting.apps == 1:
                    meter.begin()
                    self.write(setting, server.port, changed=True)
                    until(lambda: any(bool(each["actions"]) for each in meter.passes), 600, "the change of every host")
                    ended = max(each["heard_at"] for each in meter.passes if each["actions"])
                    changes.append(meter.cost(ended - meter.began, 1))
        return quiet, changes


@dataclass
class Meter:
    """What a watch takes from `begin` on."""

    watch: Watching
    began: float = 0.0
    cpu: float = 0.0

    def begin(self) -> None:
        self.began, self.cpu = time.time(), cpu_seconds(self.watch.process.pid)

    @property
    def passes(self) -> list[dict[str, Any]]:
        return self.watch.since(self.began, "pass.finished")

    def cost(self, seconds: float, passes: int) -> Cost:
        pid = self.watch.process.pid
        cpu = (cpu_seconds(pid) - self.cpu) / passes
        return Cost(seconds, cpu, memory_megabytes(pid), _open_files(pid))


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


THOUSAND, FIVE_EACH, FIVE_THOUSAND = Setting(1000, 1), Setting(1000, 5), Setting(5000, 1)
SETTINGS = (
    Setting(100, 1), THOUSAND, FIVE_EACH, FIVE_THOUSAND, replace(THOUSAND, distance_milliseconds=50),
    replace(THOUSAND, silent_percent=1), replace(THOUSAND, open_files=1024), replace(FIVE_THOUSAND, open_files=1024),
)  # fmt: skip
# The seconds and MiB that each may take.
GOALS = {
    (THOUSAND, "quiet, from cold"): (math.inf, 160), (FIVE_EACH, "quiet, from cold"): (6, math.inf),
    (FIVE_EACH, "quiet, in a watch"): (2, math.inf), (FIVE_THOUSAND, "quiet, from cold"): (18, 500),
}  # fmt: skip


@dataclass(frozen=True)
class Taken:
    """What some runs of the same work over the same fleet took."""

    setting: Setting
    work: str
    costs: list[Cost]

    def as_data(self) -> dict[str, Any]:
        return {"name": self.setting.name, "work": self.work, "costs": [asdict(each) for each in self.costs]}


def figures(lab: Lab, runs: int) -> list[Taken]:
    """Passes over fleets, in turn. What cannot be measured, such as on a machine that is too busy, is left out."""
    taken = {(setting, "quiet, from cold"): list[Cost]() for setting in SETTINGS}

    def attempt(setting: Setting, work: str, measure: Callable[[], list[Cost]]) -> None:
        try:
            costs = measure()
        except HostsError as error:
            lab.say(f"not measured: {error}"[:600])
            return
        taken.setdefault((setting, work), []).extend(costs)
        lab.say(f"{setting.name}, {work}: {'; '.join(map(str, costs))}")

    with tempfile.TemporaryDirectory(prefix="reconcile-fleets-") as folder:
        fleets = Fleets(lab, Path(folder))
        fleets.prepare()
        for _ in range(runs):
            for setting in SETTINGS:
                attempt(setting, "quiet, from cold", lambda setting=setting: [fleets.once(setting)])  # type: ignore[misc]
        attempt(THOUSAND, "a change of all, from cold", lambda: [fleets.change(THOUSAND)])
        for setting in (THOUSAND, FIVE_EACH):
            quiet, change = list[Cost](), list[Cost]()

            def watch(setting: Setting = setting, quiet: list[Cost] = quiet, change: list[Cost] = change) -> list[Cost]:
                found = fleets.watch(setting)
                quiet += found[0]
                change += found[1]
                return quiet

            attempt(setting, "quiet, in a watch", watch)
            if change:
                attempt(setting, "a commit that changes all, in a watch", lambda change=change: change)  # type: ignore[misc]
    return [Taken(setting, work, costs) for (setting, work), costs in taken.items() if costs]


def measure(lab: Lab, runs: int) -> list[Row]:
    """Passes over fleets, as rows."""
    return [_row(each) for each in figures(lab, runs)]


def _row(taken: Taken) -> Row:
    most_seconds, most_megabytes = GOALS.get((taken.setting, taken.work), (math.inf, math.inf))

    def median(key: str) -> float:
        return float(statistics.median(getattr(each, key) for each in taken.costs))

    goals = [f"<= {most_seconds:g} s"] * (most_seconds < math.inf)
    goals += [f"<= {most_megabytes:g} MiB"] * (most_megabytes < math.inf)
    seconds, megabytes = median("seconds"), median("megabytes")
    times = spread([each.seconds for each in taken.costs], "s", 1)
    return Row(
        f"{taken.setting.name}: {taken.work}",
        f"{times}; CPU {median('cpu_seconds'):.1f} s; {megabytes:.0f} MiB",
        f"server CPU {median('server_cpu_seconds'):.1f} s",
        goal=", ".join(goals),
        met=(seconds <= most_seconds and megabytes <= most_megabytes) if goals else None,
        notes=(f"{taken.setting.name}: {median('files'):.0f} open files, {median('connections'):.0f} connections",),
    )
