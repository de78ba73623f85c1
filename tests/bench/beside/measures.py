"""Which tool does what, how often, over which distance. They take turns, so that a slow minute slows all of them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import rival
from tests.bench.beside.tools import Tools
from tests.bench.lab import Lab, link
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.distribution import PACKAGES, Distribution
from tests.hosts.load import Load, Stream, Target
from tests.hosts.process import HostsError
from tests.hosts.stories.project import yaml
from tests.support.releases import build_release, python_release, sha256

FEW_APPS, MANY_APPS = (1, 5), 20
DISTANCES = (0, 50)  # milliseconds there and back
OURS, ANSIBLE, PYINFRA, BARE, SCRIPT = "reconcile", "Ansible", "pyinfra", "bare asyncssh", "deploy script"
SLOW_SECONDS = 15  # a tool is not run again for the same cell once it has taken so long
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
REQUESTS_PER_SECOND = 100
WITH_PYTHON = Distribution("debian", "bookworm", (*PACKAGES, "libssl3", "python3"))  # which Ansible needs on its hosts


@dataclass(frozen=True)
class Run:
    """What one run of one tool took."""

    seconds: float
    up: int
    down: int
    megabytes: float
    serves_seconds: float | None = None  # from the start of the process to the first answer of the new version
    failed: int = 0
    requests: int = 0


@dataclass
class Cell:
    """One kind of work over one distance, by each tool."""

    work: str
    apps: int
    milliseconds: int
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def median(self, tool: str, key: str = "seconds") -> float:
        return float(statistics.median(getattr(run, key) for run in self.runs[tool]))

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


class Beside:
    """Brings the host into the state that a piece of work begins with, and times each tool at it."""

    def __init__(self, lab: Lab, tools: Tools, runs: int) -> None:
        self.lab, self.tools, self.runs = lab, tools, runs
        self.changes = 0
        self.greeting = ""

    def cells(self) -> Iterator[Cell]:
        """Every cell of the page but those of `cells_of_many`."""
        for count in FEW_APPS:
            yield from self._quiet_cells(count)
        self._remove(*(each.app for each in self.tools.wanted[1:]))
        self.tools.want(1, VERSIONS[0], build_release(VERSIONS[0]), "same")
        for milliseconds in DISTANCES:
            yield self._cell("code", 1, milliseconds, (OURS, PYINFRA, ANSIBLE, SCRIPT), self._change_code)
        yield self._cell("env", 1, DISTANCES[-1], (OURS, PYINFRA, ANSIBLE), self._change_env)
        with self._keeper():
            yield self._cell("install", 1, DISTANCES[-1], (OURS, PYINFRA, ANSIBLE), self._install)

    def cells_of_many(self) -> Iterator[Cell]:
        """A quiet pass over many apps: ten minutes for each distance, most of them for one run of Ansible."""
        yield from self._quiet_cells(MANY_APPS)

    def _quiet_cells(self, apps: int) -> Iterator[Cell]:
        self.tools.want(apps, VERSIONS[0], build_release(VERSIONS[0]), "same")
        with self.lab.apps(apps), link(self.lab) as near:
            self._settle(near)
            for milliseconds in DISTANCES:
                yield self._cell("quiet", apps, milliseconds, (BARE, OURS, PYINFRA, ANSIBLE), self._quiet)

    @contextmanager
    def _keeper(self) -> Iterator[None]:
        """Another small app of ours: an empty desired state would remove nothing. It shares no file with the first."""
        artifact = python_release("1.0.0")
        keys = {
            "app": "keeper", "version": "1.0.0", "artifact": {"source": str(artifact), "sha256": sha256(artifact)},
            "hosts": [self.lab.machine.name], "ports": [4190, 4191], "start": "bin/hello start",
            "health": {"path": "/ping"},
        }  # fmt: skip
        file = self.lab.project.file.with_name("keeper.yaml")
        file.write_text("".join(f"{key}: {yaml(value)}\n" for key, value in keys.items()))
        self.lab.project.commit()
        self.lab.once()
        try:
            yield
        finally:
            file.unlink()
            self.lab.project.commit()
            self.lab.once("--allow-prune")

    def _remove(self, *apps: str) -> None:
        for app in apps:
            self.lab.machine.run(
                f"systemctl stop '{app}@*'; rm -rf /opt/{app} /etc/traefik/dynamic/{app}.yml; "
                f"rm -f /etc/systemd/system/{app}@* /etc/systemd/system/*.wants/{app}@*; systemctl daemon-reload"
            )

    def _settle(self, proxy: DelayProxy) -> None:
        """Both others have done their work, so that a quiet run of either finds nothing to do."""
        for tool in (PYINFRA, ANSIBLE, PYINFRA):
            self.tools.run(tool, proxy)

    def _cell(
        self, work: str, apps: int, milliseconds: int, names: tuple[str, ...], one: Callable[[str, DelayProxy], Run]
    ) -> Cell:
        cell = Cell(work, apps, milliseconds, {name: [] for name in names})
        with link(self.lab, milliseconds / 1000) as proxy:
            self.tools.prepare(proxy)
            failed = set[str]()
            for _ in range(self.runs):
                for name, runs in cell.runs.items():
                    slow = name != OURS and sum(run.seconds for run in runs) > SLOW_SECONDS
                    if slow or name in failed:
                        continue
                    try:
                        runs.append(one(name, proxy))
                    except HostsError as error:  # the rest of the page is worth having
                        failed.add(name)
                        self.lab.say(f"not measured further: {name}: {str(error)[:1500]}")
        taken = {name: runs for name, runs in cell.runs.items() if runs}
        told = ", ".join(f"{name} {cell.median(name):.2f} s (n={len(runs)})" for name, runs in taken.items())
        self.lab.say(f"{work}, {apps} apps, {milliseconds} ms: {told}")
        return cell

    def _run(self, tool: str, proxy: DelayProxy) -> tuple[Run, float]:
        up, down = proxy.bytes_up, proxy.bytes_down
        ended = self.tools.run(tool, proxy)
        took = json.loads(ended.out.splitlines()[-1])
        time.sleep(0.1)  # the last bytes are still on their way
        return Run(took["seconds"], proxy.bytes_up - up, proxy.bytes_down - down, took["megabytes"]), ended.begin

    def _quiet(self, tool: str, proxy: DelayProxy) -> Run:
        return self._run(tool, proxy)[0]

    def _change_env(self, tool: str, proxy: DelayProxy) -> Run:
        self._want(tool, proxy, None)
        return self._served(tool, proxy)

    def _change_code(self, tool: str, proxy: DelayProxy) -> Run:
        self.changes += 1
        version = VERSIONS[self.changes % len(VERSIONS)]
        if tool == SCRIPT:
            return self._script(proxy, version)
        self._want(tool, proxy, version)
        return self._served(tool, proxy)

    def _install(self, tool: str, proxy: DelayProxy) -> Run:
        if tool == OURS:
            text = self.lab.project.file.read_text()
            self.lab.project.file.unlink()
            self.lab.project.commit()
            self.lab.once("--allow-prune")
            self.lab.project.file.write_text(text)
        else:
            self._remove(self.tools.wanted[0].app)
        self._want(tool, proxy, None)
        return self._served(tool, proxy, loses=True)

    def _want(self, tool: str, proxy: DelayProxy, version: str | None) -> None:
        """Ask the tool for another env, and perhaps another version, of its first app."""
        self.greeting = f"change-{time.monotonic_ns()};"
        if tool == OURS:
            self.greeting = self.lab.want(build_release(version) if version else None)
            self.tools.prepare(proxy)
            return
        before = self.tools.wanted[0]
        artifact = build_release(version) if version else Path(before.artifact)
        if version:  # as if it had never been there
            self.lab.machine.run(f"rm -rf /opt/{before.app}/releases/{version}")
        self.tools.want(1, version or before.version, artifact, self.greeting)

    def _served(self, tool: str, proxy: DelayProxy, *, loses: bool = False) -> Run:
        domain = self.lab.project.domain if tool == OURS else self.tools.wanted[0].domain
        load = Load(Target(self.lab.machine.address, domain), [Stream("GET", REQUESTS_PER_SECOND)], max_seconds=180)
        began = time.monotonic()
        with load.running():
            run, begin = self._run(tool, proxy)
        first = load.first_answer(self.greeting.encode())
        if first is None:
            raise HostsError(f"{tool}: the new version was not seen: {load.summary()}")
        failed = 0 if loses else len(load.failures)
        return Run(run.seconds, run.up, run.down, run.megabytes, began + first - begin, failed, len(load.samples))

    def _script(self, proxy: DelayProxy, version: str) -> Run:
        self.lab.machine.run(f"rm -rf /opt/my_app/{version}")
        wanted = self.tools.wanted
        self.tools.want(1, version, build_release(version), "same")
        load = Load(rival.target(self.lab), [Stream("GET", REQUESTS_PER_SECOND)], max_seconds=180)
        with load.running():
            run, _ = self._run(SCRIPT, proxy)
            time.sleep(rival.HEALTH_INTERVAL_SECONDS + 1)
        self.tools.wanted = wanted
        return Run(run.seconds, run.up, run.down, run.megabytes, None, len(load.failures), len(load.samples))


@contextmanager
def prepared(lab: Lab, folder: Path) -> Iterator[Tools]:
    """The tools, and the host as its owner would have it: with Python, and start-up files that say nothing."""
    tools = Tools(lab, folder)
    lab.say("the other tools")
    tools.install()
    lab.machine.run("rm -f /root/.bashrc /etc/environment /opt/wrappers/tar; systemctl daemon-reload")
    rival.install(lab)
    try:
        yield tools
    finally:
        rival.remove(lab)
