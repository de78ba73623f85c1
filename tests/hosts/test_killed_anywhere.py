"""`reconcile --once` is killed at and inside every action of a rollout; run again, it finishes.

Each test commits, kills the command's whole process group with SIGKILL at one moment, and runs it again. The host
must then be the same as after an undisturbed run, and no request of a visitor may have failed.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.apply.runner import tar_of
from reconciler.host.entry import FIRST_LINE
from reconciler.host.transport import Command
from reconciler.model.machine import Layout
from reconciler.model.observed import Lease
from reconciler.model.target import Controller
from reconciler.observe.lease import lease_words
from reconciler.tools.scripts import change_script
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.project import Project, command_environ
from tests.hosts.stories.small_release import small_release
from tests.support.releases import build_release, elixir_missing

pytestmark = pytest.mark.hosts

PER_SECOND = 50
KEPT_RELEASES = 2
QUICK = {"path": "/ping", "healthy_within_seconds": 20, "minimum_healthy_seconds": 0}
HOPELESS = {"path": "/ping", "healthy_within_seconds": 1, "minimum_healthy_seconds": 0}
UPLOAD = "upload"  # no log line: the moment at which the unfinished release is seen on the host

REMOVE_FRESH = """\
systemctl kill -s KILL 'fresh@*'
systemctl stop 'fresh@*'
rm -rf /srv/fresh /etc/reconcile/fresh /var/lib/reconcile/fresh /etc/traefik/dynamic/fresh.yml
rm -f /etc/systemd/system/fresh@.service /etc/systemd/system/*.wants/fresh@*
systemctl daemon-reload
"""


@dataclass(frozen=True)
class Cut:
    """The moment of the kill: this long after the command has logged that an action is finished."""

    action: str
    milliseconds: int = 0

    def __str__(self) -> str:
        return f"{self.action}+{self.milliseconds}ms" if self.milliseconds else self.action


def cuts(*actions: str, inside: dict[str, tuple[int, ...]]) -> list[Cut]:
    """Right after each action, and inside the one that follows it."""
    return [Cut(action) for action in actions] + [
        Cut(action, milliseconds) for action, times in inside.items() for milliseconds in times
    ]


SWAP = cuts(
    *(UPLOAD, "install", "start", "wait", "cutover", "confirm", "drain", "stop", "prune"),
    inside={
        UPLOAD: (150,),
        "install": (50, 200),  # in the start
        "wait": (50, 120),  # in the cutover
        "drain": (300,),  # in the stop
        "stop": (30,),  # in the prune
    },
)
PREEMPTED = [Cut("start"), Cut("cutover")]
FIRST = cuts(UPLOAD, "install", "start", "wait", "cutover", "confirm", inside={"install": (150,)})
STOP_FIRST = cuts(
    *("hold", "drain", "start", "wait", "cutover", "unhold"),
    inside={"install": (100,), "drain": (100, 1100), "wait": (50,)},  # in the hold, the stop, the start, the cutover
)
BAD = cuts("start", "wait", "reject", inside={"start": (300,), "wait": (60,)})
BAD_STOP_FIRST = cuts("wait", "reject", inside={"wait": (60,)})
# Of an app with a process and a job: a sample, and all with RECONCILE_ALL_CUTS=1. The first wait is before the process.
FAMILY = cuts("cutover", "schedule", inside={"wait": (400,)})
if os.environ.get("RECONCILE_ALL_CUTS"):
    FAMILY += cuts(
        *("install", "start", "wait", "confirm", "enable", "drain", "stop", "prune"),
        inside={"wait": (100, 1000, 2000), "cutover": (50, 200), "enable": (50,), "schedule": (50,), "stop": (100,)},
    )
ALONE = """sh -c 'exec 9>"$HOME/lock"; flock --nonblock 9 || { echo >>"$HOME/twice"; exit 1; }; exec bin/app work'"""


def kill(project: Project, cut: Cut) -> list[str]:
    """Run `--once` and kill it at the cut; return the actions that it had logged."""
    told: list[str] = []
    with subprocess.Popen(
        project.words("--once"),
        cwd=project.folder,
        env=project.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        try:
            if cut.action == UPLOAD:
                await_upload(project, process)
            else:
                for line in process.stderr:
                    told.append(str(json.loads(line)["event"]).removesuffix(".finished") if line[0] == "{" else line)
                    if told[-1] == cut.action:
                        break
                assert cut.action in told, f"{cut.action} never came: {told}"
            time.sleep(cut.milliseconds / 1000)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it had ended before it was killed"
    return told


def await_upload(project: Project, process: subprocess.Popen[str]) -> None:
    releases = project.machine.root / "srv" / project.app / "releases"
    while not any(releases.glob(".incoming-*")):
        assert process.poll() is None, "it ended without an upload"
        time.sleep(0.001)


@dataclass
class Rig:
    """An app and its versions. Each `commit_next` is of other bytes: it must be uploaded, and an old one pruned."""

    project: Project
    artifacts: Iterator[tuple[str, Path]]
    load: Load | None = None
    version: str = ""
    greeting: str = ""

    def commit_next(self) -> None:
        greeting, tarball = next(self.artifacts)
        self.version = tarball.name.rpartition("-")[2].removesuffix(".tar.gz")
        self.greeting = f"{greeting} from "
        self.project.add_artifact(tarball, self.version)
        self.project.commit(version=self.version)

    def assert_converged(self) -> None:
        """The last commit serves from one slot; of earlier versions only the kept releases are left."""
        lies = self.project.lies()
        releases = lies.pop("release")
        (slot,) = lies["route"]

        assert lies == self.project.one_instance(self.version, slot)
        assert self.project.release_id(self.version) in releases
        assert len(releases) <= KEPT_RELEASES
        assert not [name for name in releases if name.startswith(".")]
        status, body = self.project.get("/")
        assert (status, body.decode().startswith(self.greeting)) == (200, True), body
        assert self.project.version_served == self.version

    def converge(self, times: int) -> None:
        for _ in range(times):
            self.commit_next()
            assert (result := self.project.once()).code == 0, str(result)

    def bad_env(self, cut: Cut) -> dict[str, str]:
        """An env with which the app never gets healthy; each cut needs another one, since none is tried twice."""
        return {"NEVER_HEALTHY": "1", "CUT": str(cut)}

    def assert_quarantined(self, told: str) -> None:
        """The newest entry on the host is of this release, and the user was told of it."""
        entries = self.project.machine.read(f"/var/lib/reconcile/{self.project.app}/quarantine").splitlines()
        assert f" {self.project.release_id(self.version)}/" in entries[-1]
        assert "failed here" in told

    def assert_nobody_noticed(self) -> None:
        assert self.load is not None
        assert not self.load.ended_early
        assert self.load.failures == [], self.load.summary()


def in_turn(release: Callable[..., Path]) -> Iterator[tuple[str, Path]]:
    """0.1.0, 0.2.0, and so on: six tarballs, so that none is still on the host when its turn comes again."""
    names = [(version, f"{version}-{letter}") for letter in "abc" for version in ("0.1.0", "0.2.0")]
    return itertools.cycle([(name, release(version, greeting=name)) for version, name in names])


def streams() -> tuple[Stream, ...]:
    share, body = PER_SECOND / 4, b"x" * 64
    return (
        Stream("GET kept", share, "/"),
        Stream("GET new", share, "/", keep_alive=False),
        Stream("POST kept", share, "/echo", "POST", body=body),
        Stream("POST new", share, "/echo", "POST", keep_alive=False, body=body),
        Stream("GET slow", 4, "/slow?seconds=0.8"),
    )


@pytest.fixture(scope="module")
def host(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host of our own: its apps come and go."""
    if missing := elixir_missing():
        pytest.skip(missing)
    machine = machine_factory("killed")
    yield machine
    farm.remove(machine)


@pytest.fixture(scope="module")
def make(host: Machine, ssh_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rig]:
    """Makes an app that waits for nothing longer than it must; nothing of it is on the host yet."""
    environ = command_environ(ssh_home, tmp_path_factory.mktemp("cache"))

    def make(app: str, release: Callable[..., Path], ports: list[int]) -> Rig:
        project = Project(tmp_path_factory.mktemp(app), app, host, environ)
        project.write(
            app=app,
            artifact={"source": f"../build/{app}-{{version}}.tar.gz"},
            hosts=[host.name],
            ports=ports,
            start=f"bin/{'app' if release is small_release else 'my_application'} start",
            health=QUICK,
            route={"domains": [project.domain], "tls": False},
            drain_seconds=1,
            keep_releases=KEPT_RELEASES,
        )
        return Rig(project, in_turn(release))

    return make


@pytest.fixture(scope="module")
def rig(make: Callable[..., Rig], host: Machine) -> Iterator[Rig]:
    """The Elixir example, told to drop what is open when it is stopped, under load from its second version on."""
    rig = make("swapped", functools.partial(build_release, drain_seconds=0), [4000, 4001])
    rig.converge(KEPT_RELEASES)
    rig.load = Load(Target(host.address, rig.project.domain), streams(), max_seconds=900)
    with rig.load.running():
        yield rig
    print(rig.load.summary())


@pytest.fixture(scope="module")
def single(make: Callable[..., Rig]) -> Rig:
    """A small app with one port only: its versions cannot run side by side."""
    single = make("single", small_release, [4100])
    single.converge(KEPT_RELEASES)
    return single


@pytest.mark.parametrize("cut", SWAP, ids=str)
def test_a_swap_killed_anywhere_finishes_when_run_again(rig: Rig, cut: Cut) -> None:
    """A new version with a new upload, killed at any moment and run once more: no request fails."""
    rig.commit_next()

    kill(rig.project, cut)
    again = rig.project.once()

    assert again.code == 0, str(again)
    rig.assert_converged()
    rig.assert_nobody_noticed()


@pytest.mark.parametrize("cut", PREEMPTED, ids=str)
def test_after_a_kill_a_newer_commit_is_what_the_next_run_brings(rig: Rig, cut: Cut) -> None:
    """Leftovers of the killed run are removed before the newer version starts."""
    rig.commit_next()
    kill(rig.project, cut)
    rig.commit_next()

    again = rig.project.once()

    assert again.code == 0, str(again)
    rig.assert_converged()
    rig.assert_nobody_noticed()


@pytest.mark.parametrize("cut", BAD, ids=str)
def test_a_bad_release_killed_anywhere_leaves_the_old_version_serving(rig: Rig, cut: Cut) -> None:
    """The next run rejects and quarantines the bad version; the run after that does not try it again."""
    rig.project.commit(env=rig.bad_env(cut), health=HOPELESS)

    kill(rig.project, cut)
    again = rig.project.once()
    third = rig.project.once()
    rig.project.commit(env=None, health=QUICK)

    assert (again.code, third.code, third.verbs) == (1, 1, []), f"{again}\n{third}"
    rig.assert_quarantined(again.told + third.told)
    rig.assert_converged()
    rig.assert_nobody_noticed()
    assert rig.project.once().verbs == []


@pytest.mark.parametrize("cut", FIRST, ids=str)
def test_a_first_install_killed_anywhere_finishes_when_run_again(make: Callable[..., Rig], cut: Cut) -> None:
    """Nothing was on the host before."""
    first = make("fresh", build_release, [4200, 4201])
    first.commit_next()

    kill(first.project, cut)
    again = first.project.once()

    assert again.code == 0, str(again)
    first.assert_converged()
    first.project.machine.run(REMOVE_FRESH)


@pytest.mark.parametrize("cut", STOP_FIRST, ids=str)
def test_a_stop_first_swap_killed_anywhere_finishes_when_run_again(single: Rig, cut: Cut) -> None:
    """One port: visitors wait while the versions change, whether killed or not."""
    single.commit_next()

    kill(single.project, cut)
    again = single.project.once()

    assert again.code == 0, str(again)
    single.assert_converged()


@pytest.mark.parametrize("cut", BAD_STOP_FIRST, ids=str)
def test_a_bad_stop_first_swap_killed_anywhere_brings_the_old_version_back(single: Rig, cut: Cut) -> None:
    """The old version was stopped for the bad one; the next run starts it again."""
    single.project.commit(env=single.bad_env(cut), health=HOPELESS)

    kill(single.project, cut)
    again = single.project.once()
    third = single.project.once()
    single.project.commit(env=None, health=QUICK)

    assert (again.code, third.code, third.verbs) == (1, 1, []), f"{again}\n{third}"
    single.assert_quarantined(again.told + third.told)
    single.assert_converged()
    assert single.project.once().verbs == []


@pytest.fixture(scope="module")
def family(make: Callable[..., Rig], host: Machine) -> Iterator[Rig]:
    """A small app with a process that notes if it runs twice, and a job; under load from its second version on."""
    family = make("family", small_release, [4300, 4301])
    family.project.write(processes={"mailer": {"start": ALONE, "minimum_healthy_seconds": 1, "stop_seconds": 5}})
    family.converge(KEPT_RELEASES)
    family.load = Load(Target(host.address, family.project.domain), streams(), max_seconds=900)
    with family.load.running():
        yield family
    print(family.load.summary())


@pytest.mark.parametrize("cut", FAMILY, ids=str)
def test_an_app_with_a_process_and_a_job_killed_anywhere_finishes_when_run_again(family: Rig, cut: Cut) -> None:
    """No request fails, the process never runs twice, and in the end all of it is of one version."""
    project, machine = family.project, family.project.machine
    minutes = FAMILY.index(cut) + 1  # another job each time, so that it is scheduled
    project.write(jobs={"tick": {"run": "true", "at": "*:*:0/1 UTC", "within_minutes": minutes}})
    family.commit_next()

    kill(project, cut)
    again = project.once()

    assert again.code == 0, str(again)
    assert (project.version_served, project.once().verbs) == (family.version, [])
    of_mailer = "systemctl show -P MainPID family--mailer@worker.service"
    assert machine.run(f'cat "/proc/$({of_mailer})/cwd/VERSION"').stdout == f"{family.version}\n"
    units = machine.run("systemctl list-units --plain --no-legend --state=active 'family*@*' 'family--*.timer'").stdout
    names = sorted(line.split()[0] for line in units.splitlines() if "--tick@" not in line)
    assert [name.partition("@")[0] for name in names] == ["family--mailer", "family--tick.timer", "family"]
    timer = machine.read("/etc/systemd/system/family--tick@.service")
    assert f"TimeoutStartSec={minutes * 60}\n" in timer
    assert machine.run("ls /var/lib/family").stdout.split() == ["lock"]
    family.assert_nobody_noticed()


@pytest.mark.parametrize("left", ["nothing", "a part of it"])
@pytest.mark.parametrize("script", ["cutover", "start", "mark"])
def test_an_upload_cut_off_midway_has_no_effect(single: Rig, script: str, left: str) -> None:
    """The controller died after it had sent the script; on the host the script goes on with a truncated stdin."""
    project, machine = single.project, single.project.machine
    (port,) = project.lies()["route"]
    route = machine.read(f"/etc/traefik/dynamic/{project.app}.yml")
    env = machine.read(f"/etc/reconcile/{project.app}/{port}.env")
    unit = machine.read(f"/etc/systemd/system/{project.app}@.service")
    files = tar_of({"env": env, "unit": unit})
    sent = {"cutover": route.encode(), "start": files, "mark": b"1.0-" + b"0" * 40}[script]
    generation = machine.read("/var/lib/reconcile/lease").split()[0]
    lease = Lease(int(generation), "-", 0, "-")
    invocation = machine.run(f"systemctl show -P InvocationID {project.app}@{port}").stdout.strip()
    release = project.release_id(single.version)
    words = {
        "cutover": (port, invocation),
        "start": (port, release, invocation, "-"),
        "mark": ("reject", "0"),
    }[script]
    before = project.lies()
    command = Command(
        change_script(script, "system"),
        (*lease_words(Layout(), Controller("9-9", "test", "-"), lease), f"{project.app}:{port}", project.app, *words),
    )

    part = sent[: len(sent) // 5] if left == "a part of it" else b""
    said = machine.run(command.line(sudo=False), stdin=FIRST_LINE + part)

    assert re.search(r"^(?:\x1e.*\x1e)?@@ result - [0-9]\n(?!0$)", said.stdout, re.MULTILINE), said
    assert "@@ result - 2\n75\n" not in said.stdout, f"it was not even tried: {said.stderr}"
    assert machine.read(f"/etc/traefik/dynamic/{project.app}.yml") == route
    assert project.lies() == before
    assert project.version_served == single.version
    machine.run(f"echo '{generation} - 0 - -' >/var/lib/reconcile/lease")
    assert project.once().verbs == []
