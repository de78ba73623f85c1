"""One real host, one Elixir app kept on it by `reconcile`, and every command timed as a whole process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.distribution import DEBIAN, Distribution
from tests.hosts.farm import Farm
from tests.hosts.load import Stream, Target
from tests.hosts.machine import SSH_PORT, Machine
from tests.hosts.process import HostsError
from tests.hosts.proxy import GUEST_BINARY, install_traefik, traefik_binary
from tests.hosts.stories.project import Project, command_environ, yaml
from tests.support.releases import build_release, sha256

APP = "my_application"
HOST = "bench"
MINIMUM_HEALTHY_SECONDS = 1
LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a command ended; each line of its stderr with the moment at which it came."""

    code: int
    begin: float
    seconds: float
    out: str
    lines: tuple[tuple[float, str], ...]

    @property
    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """The log lines, and when each came (monotonic seconds)."""
        return [(at, json.loads(line)) for at, line in self.lines if line.startswith("{")]

    def event(self, name: str) -> tuple[float, dict[str, Any]]:
        """The first event of that name."""
        found = [each for each in self.events if each[1]["event"] == name]
        if not found:
            raise HostsError(f"there was no {name}: {self}")
        return found[0]

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.2f} s\n{self.out}" + "".join(t for _, t in self.lines)


@dataclass
class Lab:
    """What all measures share: the app serves on the host when a measure begins, and when it ends."""

    farm: Farm
    machine: Machine
    project: Project
    say: Callable[[str], None]
    generation: int = 0
    artifact: Path = field(default_factory=Path)

    @property
    def environ(self) -> Mapping[str, str]:
        return self.project.environ

    @property
    def command(self) -> list[str]:
        """What a person types: the program that the installation of the package made."""
        return [str(Path(sys.executable).with_name("reconcile"))]

    @property
    def target(self) -> Target:
        return Target(self.machine.address, self.project.domain)

    def run(self, words: list[str], *, environ: Mapping[str, str] | None = None) -> Ended:
        """Run words in the repository's folder, from the start of the process to its end."""
        begin = time.monotonic()
        with subprocess.Popen(
            words,
            cwd=self.project.folder,
            env=dict(environ or self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            lines = tuple((time.monotonic(), line) for line in process.stderr)
            out = process.stdout.read()
        return Ended(process.returncode, begin, time.monotonic() - begin, out, lines)

    def once(self, *options: str) -> Ended:
        """`reconcile --once`, which must converge."""
        ended = self.run([*self.command, "--once", *options])
        if ended.code != 0:
            raise HostsError(f"reconcile --once did not converge: {ended}")
        return ended

    def ssh(self, *words: str) -> Ended:
        """OpenSSH with the same key and known hosts."""
        ended = self.run([str(self.farm.home / "bin/ssh"), *words])
        if ended.code != 0:
            raise HostsError(f"ssh {' '.join(words)}: {ended}")
        return ended

    @contextmanager
    def apps(self, count: int) -> Iterator[None]:
        """So many apps in all on the host during the block, all of the same release."""
        others = [f"{APP}_{number:02}" for number in range(2, count + 1)]
        for number, name in enumerate(others):
            keys = self.project.keys | {
                "app": name, "ports": [4200 + 2 * number, 4201 + 2 * number], "start": f"bin/{APP} start",
                "route": {"domains": [f"{name.replace('_', '-')}.test"], "tls": False},
            }  # fmt: skip
            text = "".join(f"{key}: {yaml(value)}\n" for key, value in keys.items())
            (self.project.file.parent / f"{name}.yaml").write_text(text)
        self.project.commit()
        try:
            self.once()
            yield
        finally:
            for name in others:
                (self.project.file.parent / f"{name}.yaml").unlink()
            self.project.commit()
            self.once("--allow-prune")

    def want(self, artifact: Path | None = None, **keys: Any) -> str:
        """Commit a new generation of the app, another env and perhaps another artifact; what its `/` will say."""
        self.generation += 1
        greeting = f"generation-{self.generation};"
        if artifact is not None:
            self.artifact = artifact
            version = artifact.name.removeprefix(f"{APP}-").removesuffix(".tar.gz")
            keys |= {"version": version}
            keys |= {"artifact": {"source": str(artifact), "sha256": sha256(artifact)}}
        self.project.commit(env={"GREETING": greeting}, **keys)
        return greeting


def streams(per_second: float) -> tuple[Stream, ...]:
    """GET and POST on kept and on new connections, together `per_second`; and a 3 s request every second."""
    share, body = per_second / 4, b"x" * 64
    return (
        Stream("GET kept", share, "/"),
        Stream("GET new", share, "/", keep_alive=False),
        Stream("POST kept", share, "/echo", "POST", body=body),
        Stream("POST new", share, "/echo", "POST", keep_alive=False, body=body),
        Stream("GET slow", 1, "/slow?seconds=3"),
    )


@contextmanager
def lab(folder: Path, say: Callable[[str], None], distribution: Distribution = DEBIAN) -> Iterator[Lab]:
    """A host with Traefik and the app in its first version; gone at the end."""
    farm = Farm.create()
    try:
        say("a host with Traefik")
        machine = farm.add(HOST, {traefik_binary(): GUEST_BINARY}, distribution)
        install_traefik(machine)
        # Byte code lies ready, as after any installation, but not in the repository.
        environ = command_environ(farm.home, folder / "cache") | {"PYTHONPYCACHEPREFIX": str(folder / "code")}
        made = Lab(farm, machine, Project(folder / "project", APP, machine, environ), say)
        say("the app in its first version")
        made.want(
            build_release("0.1.0"),
            app=APP,
            hosts=[HOST],
            ports=[4000, 4001],
            health={"path": "/ping", "minimum_healthy_seconds": MINIMUM_HEALTHY_SECONDS},
            route={"domains": [made.project.domain], "tls": False},
            drain_seconds=5,
            keep_releases=2,
        )
        made.once()
        yield made
    finally:
        farm.destroy()


@contextmanager
def link(lab: Lab, round_trip_seconds: float = 0.0) -> Iterator[DelayProxy]:
    """Another way to the host's sshd, longer by so much, which counts bytes."""
    with DelayProxy(lab.machine.address, SSH_PORT, round_trip_seconds).running() as proxy:
        yield proxy
        time.sleep(0.2 + 2 * round_trip_seconds)  # the last connection is still being closed


def write_desired_state(lab: Lab, name: str, host: Mapping[str, object]) -> Path:
    """The same desired state in another folder of the repository, its host reached in another way. To be committed."""
    folder = lab.project.folder / name
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    (folder / "fleet.yaml").write_text(f"hosts: {yaml({HOST: dict(host)})}\n")
    for old in folder.glob("apps/*.yaml"):
        old.unlink()
    for app in lab.project.file.parent.glob("*.yaml"):
        (folder / "apps" / app.name).write_text(app.read_text())
    return folder
