"""Bootstrap of a bare server: from nothing, after an interruption, and twice; then all work as the deploy user."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.process import wait_until
from tests.hosts.proxy import GUEST_BINARY, install_traefik, traefik_binary
from tests.hosts.stories.project import Project, Result, command_environ, nothing_touched
from tests.hosts.stories.small_release import small_release
from tests.support.child import killed_at_the_end
from tests.support.forked import reconcile

pytestmark = pytest.mark.hosts

# All that a bootstrap may leave, by content, mode and owner.
WHAT_LIES = """\
getent passwd reconcile | cut -d: -f1,6,7
getent shadow reconcile | cut -d: -f2
find /usr/local/sbin/reconcile-host /etc/sudoers.d/reconcile /etc/needrestart /etc/systemd/journald.conf.d \
  /home/reconcile/.ssh /etc/reconcile /var/lib/reconcile /srv /etc/traefik -printf '%p %y %m %u:%g\\n' | sort
find /usr/local/sbin/reconcile-host /etc/sudoers.d/reconcile /etc/needrestart /etc/systemd/journald.conf.d \
  /home/reconcile/.ssh -type f -exec sha256sum {} + | sort
ls -A /etc | grep -e '^\\.' || :
ls -A /usr/local/sbin /etc/sudoers.d
"""
TIMES = "find /etc /usr/local /home /srv /var/lib/reconcile -printf '%p %i %m %U %s %T@ %C@ %l\\n'"


def bootstrap(folder: Path, environ: dict[str, str], machine: Machine, *options: str) -> Result:
    """`reconcile bootstrap` of this machine, by its name in ~/.ssh/config."""
    begin = time.monotonic()
    done = reconcile(("bootstrap", machine.name, *options), folder, environ)
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)


@pytest.fixture
def bare(farm: Farm, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A plain Debian; Traefik's binary is present, nothing is installed."""
    machine = farm.add("bare", {traefik_binary(): GUEST_BINARY})
    yield machine
    farm.remove(machine)


@pytest.fixture
def environ(ssh_home: Path, tmp_path: Path) -> dict[str, str]:
    return command_environ(ssh_home, tmp_path / "cache")


def killed_after(folder: Path, environ: dict[str, str], machine: Machine, line: str, milliseconds: int) -> None:
    words = [sys.executable, "-m", "reconciler.cli", "bootstrap", machine.name, "--yes"]
    quiet = subprocess.DEVNULL
    run = subprocess.Popen(words, cwd=folder, env=environ, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, text=True)
    with killed_at_the_end(run) as process:
        assert process.stderr
        assert any(line in said for said in process.stderr), f"{line} never came"
        time.sleep(milliseconds / 1000)  # the moment itself is what is tried


def web_process(project: Project) -> dict[str, list[str]]:
    """What runs of the app but for its other processes and its jobs."""
    running = project.running()
    return {**running, "unit": [each for each in running["unit"] if "--" not in each]}


def test_a_bare_server_serves_within_a_minute(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """Bootstrap as root; root's login is switched off; install, upgrade, migrate and look as the deploy user."""
    project = Project(tmp_path / "project", "small", bare, environ)
    for version in ("0.1.0", "0.2.0"):
        project.add_artifact(small_release(version), version)
    done = bootstrap(project.folder, environ, bare, "--yes")
    assert done.code == 0, str(done)
    bare.run("echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/00-test.conf && systemctl reload ssh")
    install_traefik(bare)

    project.write(
        app="small",
        version="0.1.0",
        artifact={"source": "../build/small-{version}.tar.gz"},
        hosts=[bare.name],
        ports=[4000, 4001],
        start="bin/app start",
        migrate="bin/app migrate",
        before_migrate="true",
        after_rollout="true",
        processes={"mailer": {"start": "bin/app work", "minimum_healthy_seconds": 1}},
        jobs={"say": {"run": "sh -c 'echo says $*; exit 3' say"}, "rare": {"run": "true", "at": "*-01-01 00:00 UTC"}},
        env={"GREETING": 'He said "$HOME"\n`id`'},
        health={"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 0},
        route={"domains": ["small.test"], "tls": False},
        drain_seconds=1,
    )
    project.converge()
    assert web_process(project) == project.one_instance("0.1.0", 4000)
    assert project.get("/env/GREETING") == (200, b'He said "$HOME"\n`id`')
    assert project.converge(version="0.2.0").verbs[-1] == "hook"
    with nothing_touched(bare):
        assert project.once().verbs == []
    assert web_process(project) == project.one_instance("0.2.0", 4001)
    said = project.run("run", "small", "say", "--", "a b", "$HOME", '"%s\\')
    assert (said.code, said.out) == (3, 'says a b $HOME "%s\\\n'), str(said)
    assert [row["state"] for row in project.run("jobs", "small", "--json").data] == ["scheduled", "by hand"]
    for words in (
        ("exec", "small", "--", "cat", "VERSION"),
        ("logs", "small", "--process", "mailer"),
        ("logs", "small", "--job", "say"),
        ("suspend", "small", "--job", "rare", "--reason", "x"),
        ("resume", "small", "--job", "rare"),
        ("logs", "small"),
        ("history", "small"),
        ("suspend", "small", "--reason", "x"),
        ("resume", "small"),
    ):
        result = project.run(*words)
        assert (result.code, result.err) == (0, ""), f"{words}: {result}"
    assert project.run("doctor", bare.name).code == 0, str(project.run("doctor", bare.name))
    refused = project.run("adopt", "small")
    assert (refused.code, "only root takes over what somebody else wrote" in refused.err) == (1, True), str(refused)


def test_a_second_bootstrap_changes_nothing(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """Neither a file of the host nor fleet.yaml changes; the plan says so."""
    assert bootstrap(tmp_path, environ, bare, "--yes").code == 0
    before, fleet = bare.run(TIMES).stdout, (tmp_path / "desired-state/fleet.yaml").read_text()

    again = bootstrap(tmp_path, environ, bare, "--yes")

    assert (again.code, "nothing to do" in again.out) == (0, True), str(again)
    assert bare.run(TIMES).stdout == before
    assert (tmp_path / "desired-state/fleet.yaml").read_text() == fleet
    assert f"host_key: {bare.host_key}\n" in fleet


@pytest.mark.parametrize(
    ("line", "milliseconds"),
    [
        ("host key", 30),  # in the first step
        ("done: let user", 0),
        ("done: let user", 40),  # in the second
        ("done: let it run", 0),
        ("done: create the", 0),
        ("done: create the", 30),  # in the last
        ("done: keep the", 0),
    ],
)
def test_an_interrupted_bootstrap_is_finished_by_the_next_one(
    farm: Farm, environ: dict[str, str], tmp_path: Path, line: str, milliseconds: int
) -> None:
    """Wherever the first run was killed, the host is then the same as after an undisturbed run."""
    undisturbed = _undisturbed(farm, environ, tmp_path)
    machine = farm.add("cut")
    try:
        killed_after(tmp_path, environ, machine, line, milliseconds)
        wait_until(lambda: "sh -c" not in machine.run("ps -eo args | grep '[r]econcile' || :").stdout, 40, "it ended")

        done = bootstrap(tmp_path, environ, machine, "--yes")

        assert done.code == 0, str(done)
        assert machine.run(WHAT_LIES).stdout == undisturbed
    finally:
        farm.remove(machine)


_found: list[str] = []


def _undisturbed(farm: Farm, environ: dict[str, str], folder: Path) -> str:
    if not _found:
        machine = farm.add("calm")
        assert bootstrap(folder, environ, machine, "--yes").code == 0
        _found.append(machine.run(WHAT_LIES).stdout)
        farm.remove(machine)
    return _found[0]


def test_a_login_with_sudo_works_like_root(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """As on a cloud server; the deploy user gets no more rights than on other hosts."""
    done = reconcile(("bootstrap", f"deploy@{bare.name}", "--yes"), tmp_path, environ)

    assert done.returncode == 0, done.stderr
    assert (
        bare.run("sudo -l -U reconcile | tail -n 1").stdout.strip() == "(root) NOPASSWD: /usr/local/sbin/reconcile-host"
    )


def test_a_host_of_another_version_is_named(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """The scripts on both sides must be the same; the next bootstrap renews them."""
    assert bootstrap(tmp_path, environ, bare, "--yes").code == 0
    bare.run("sed -i 's/^DIGEST=.*/DIGEST=000000000000/' /usr/local/sbin/reconcile-host")

    asked = reconcile(("doctor", bare.name), tmp_path, environ)

    assert asked.returncode == 1
    assert "belongs to another version of reconcile" in asked.stdout
    assert bootstrap(tmp_path, environ, bare, "--yes").code == 0
    asked = reconcile(("doctor", bare.name), tmp_path, environ)
    assert "root access    logs in as a user who may run /usr/local/sbin/reconcile-host only" in asked.stdout


def test_a_missing_program_is_installed_or_named(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """Without apt-get the packages are named; with it they are installed."""
    bare.run("mv /usr/bin/flock /usr/bin/flock.away")

    named = bootstrap(tmp_path, environ, bare, "--yes")

    assert (named.code, named.err) == (
        1,
        f"host {bare.name}: it has no flock, and no apt-get to install them with\n"
        "next: install util-linux there, then run bootstrap again\n",
    )
    bare.write(
        "/usr/bin/apt-get",
        "#!/bin/sh\ncase \"$*\" in *' util-linux') mv /usr/bin/flock.away /usr/bin/flock ;; esac\n",
        0o755,
    )
    installed = bootstrap(tmp_path, environ, bare, "--yes")
    assert installed.code == 0, str(installed)
    assert "install packages" in installed.out


def test_an_unknown_host_key_is_never_accepted_silently(bare: Machine, environ: dict[str, str], tmp_path: Path) -> None:
    """An unknown key is shown and refused, even with --yes; its fingerprint is accepted, another one is not."""
    known = Path(environ["HOME"]) / ".ssh/known_hosts"
    kept = known.read_text()
    known.write_text("")
    try:
        refused = bootstrap(tmp_path, environ, bare, "--yes")
        fingerprint = next(word for word in refused.err.split() if word.startswith("SHA256:"))
        wrong = bootstrap(tmp_path, environ, bare, "--yes", "--host-key", "SHA256:" + "A" * 43)
        right = bootstrap(tmp_path, environ, bare, "--yes", "--host-key", fingerprint)
        pinned = bootstrap(tmp_path, environ, bare, "--yes")
    finally:
        known.write_text(kept)

    assert [each.code for each in (refused, wrong, right, pinned)] == [1, 1, 0, 0], f"{refused}{wrong}{right}{pinned}"
    assert f"--host-key {fingerprint}" in refused.err
