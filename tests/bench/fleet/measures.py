"""What thousands of hosts cost one controller: a pass from cold, a pass in a watch, and a commit that changes all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.fleet import cost
from tests.bench.lab import APP, Lab
from tests.bench.table import Row
from tests.hosts.process import HostsError, command

REPOSITORY = Path(__file__).resolve().parents[3]
SMALL_LIMIT = 1024  # open files


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
    out: str = ""

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

    @property
    def environ(self) -> Mapping[str, str]:
        """A HOME without ~/.ssh/config: with one, each host costs a process `ssh -G`."""
        home = self.folder / "home"
        return {**self.lab.environ, "HOME": str(home)}

    def prepare(self) -> None:
        """Record a quiet pass with one app and with five, and the rollout of another env to one."""
        (self.folder / "home/.ssh").mkdir(parents=True)
        key = self.folder / "home/.ssh/id_ed25519"
        command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
        self.lab.once()
        self.record("quiet-1", "--once")
        self.lab.want()
        self.record("change-1", "--once")
        self.record("changed-1", "--once")

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

    def write(self, setting: Setting, port: int) -> str:
        """Commit a desired state of so many hosts and apps; the name of its folder."""
        folder = self.lab.project.folder / "fleet"
        (folder / "apps").mkdir(parents=True, exist_ok=True)
        host_key = (self.folder / "home/.ssh/id_ed25519.pub").read_text().strip()
        names = [f"h{number:04}" for number in range(1, setting.hosts + 1)]
        places = ((name, f"127.1.{n // 250}.{1 + n % 250}") for n, name in enumerate(names))
        lines = [f"  {name}: {{address: {at}, port: {port}, host_key: {host_key}}}\n" for name, at in places]
        (folder / "fleet.yaml").write_text("hosts:\n" + "".join(lines))
        for app in folder.glob("apps/*"):
            app.unlink()
        text = self.lab.project.file.read_text().replace(json.dumps([self.lab.machine.name]), json.dumps(names))
        (folder / f"apps/{APP}.yaml").write_text(text)
        self.lab.project.commit()
        return folder.name

    def once(self, setting: Setting, *records: str) -> Cost:
        """A fresh process over converged hosts; with a second and third record, over hosts that it has to change."""
        with self.server(setting, *records) as server:
            name = self.write(setting, server.port)
            words = [*self.lab.command, "--once", "--desired-state", name]
            ended = self.lab.run(
                [sys.executable, "-I", "-S", cost.__file__, str(setting.open_files), *words], environ=self.environ
            )
        *out, last = ended.out.splitlines()
        took = Cost(
            **json.loads(last), out="\n".join(out) + "".join(line for _, line in ended.lines),
            server_cpu_seconds=server.used["cpu_seconds"], connections=server.used["connections"],
        )  # fmt: skip
        if took.code != (1 if setting.silent_percent else 0) or server.used["unknown"]:
            raise HostsError(f"{setting.name}: exit {took.code}, {server.used}\n{took.out[-3000:]}")
        return took


def measure(lab: Lab, runs: int) -> list[Row]:
    """Passes over fleets, in turn."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="reconcile-fleets-") as folder:
        fleets = Fleets(lab, Path(folder))
        fleets.prepare()
        for setting in (Setting(100, 1), Setting(1000, 1), Setting(1000, 1), Setting(5000, 1)):
            if os.environ.get("KEEP"):
                import shutil

                shutil.copytree(fleets.folder, "/tmp/fleets-keep", dirs_exist_ok=True)
                fleets.write(Setting(1000, 1), 4022)
                shutil.copytree(lab.project.folder, "/tmp/fleets-keep/project", dirs_exist_ok=True)
                return []
            took = fleets.once(setting, "changed-1")
            lab.say(f"{setting.name}: {took}")
    return []
