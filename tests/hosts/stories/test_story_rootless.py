"""A login without root and without sudo: its own systemd runs its apps, below its own home."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, changed_lines, wait_for, yaml
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts

LOGIN = "guest"
HOME = f"/home/{LOGIN}"
STATE = f"{HOME}/.config/apps"  # where the systemd of Debian 12 puts it
NOTE = (
    "web: scope user: all its apps run as one user, and only the sandbox separates them from each other and "
    "from the home; they stop when linger is switched off (docs/rootless.md)\n"
)
# What an app of the same user can see and do, before it becomes itself.
HOOK = "sh -c 'echo {} $RECONCILE_VERSION >>$STATE_DIRECTORY/hooks'"
PROBES = {
    "its-own-release": "echo x >>VERSION",
    "the-env-of-another": f"cat {HOME}/.config/reconcile/other/*",
    "the-release-of-another": f"cat {HOME}/.local/share/reconcile/other/releases/*/VERSION",
    "the-state-of-another": f"ls {HOME}/.config/apps/other {HOME}/.local/state/apps/other",
    "the-runtime-of-another": "ls $XDG_RUNTIME_DIR/apps/other",
    "the-keys-of-the-login": f"ls {HOME}/.ssh",
    "the-systemd-of-the-login": "systemctl --user list-units",
    "a-namespace": "unshare --user true",
    "its-own-state": "echo x >>$HOME/own",
}


@pytest.fixture(scope="module")
def machine(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host with Traefik, and with a user without any rights."""
    machine = machine_factory("rootless")
    machine.run(f"useradd --create-home --shell /bin/bash {LOGIN}")
    machine.run(f"cp -r /home/deploy/.ssh {HOME}/ && chown -R {LOGIN}: {HOME}/.ssh")
    yield machine
    farm.remove(machine)


@pytest.fixture
def rootless(new_project: NewProject, machine: Machine) -> Project:
    """An app and another one, on a host named `web` in fleet.yaml."""
    project = new_project(machine, hosts=["web"], keep_releases=9)
    host = {"address": machine.name, "user": LOGIN, "scope": "user", "paths": {"traefik": "/etc/traefik/dynamic"}}
    project.file.parent.with_name("fleet.yaml").write_text(f"hosts: {yaml({'web': host})}\n")
    other = project.keys | {"app": "other", "ports": [4100, 4101], "route": {"domains": ["other.test"], "tls": False}}
    project.file.with_name("other.yaml").write_text("".join(f"{key}: {yaml(value)}\n" for key, value in other.items()))
    return project


def allow(machine: Machine) -> None:
    """What root does for the login, once."""
    machine.run(f"loginctl enable-linger {LOGIN}")
    machine.run(f"chgrp {LOGIN} /etc/traefik/dynamic && chmod 3775 /etc/traefik/dynamic")


def everything(machine: Machine) -> str:
    """All that the login has, but for its journal."""
    return machine.run(
        f"find /home /run/user /etc /srv /var/lib -xdev -user {LOGIN} -printf '%p %i %T@ %C@ %l\\n'"
    ).stdout


def test_settings_that_need_root_are_refused_before_any_change(rootless: Project) -> None:
    machine = rootless.machine
    rootless.commit()
    before = everything(machine)

    first = rootless.once("--app", rootless.app)
    machine.run(f"loginctl enable-linger {LOGIN}")
    second = rootless.once("--app", rootless.app)

    assert (first.code, first.verbs, second.code, second.verbs) == (1, [], 1, [])
    assert first.told == NOTE + (
        f"host web: {rootless.app}: nothing of {LOGIN} outlives the login: linger is off\n"
        f"  next: on the host, once: loginctl enable-linger {LOGIN} (as root if it is denied)\n"
    )
    assert second.told == NOTE + (
        f"host web: {rootless.app}: no route can be written: {LOGIN} may not write to /etc/traefik/dynamic\n"
        "  next: let Traefik's file provider read a folder that the login can write to, and name it in paths.traefik; "
        "or delete route: from the app\n"
    )
    touched = [line for line in changed_lines(before, everything(machine)) if "/run/user/" not in line]
    assert touched == []


def test_the_whole_life_of_an_app_without_root(rootless: Project) -> None:
    """Rollouts under load, a bad release, a reboot with no controller, removal; and sudo was never there."""
    project, machine = rootless, rootless.machine
    allow(machine)
    first, second = project.keys["ports"]
    probes = "; ".join(f"{{ {probe}; }} >/dev/null 2>&1 && echo {name}" for name, probe in PROBES.items())

    jobs: dict[str, Any] = {
        "say": {"run": "sh -c 'echo says $* in $(cat VERSION); exit 3' say"},
        "caught": {"run": "sh -c 'echo $(cat VERSION) >>$HOME/missed'", "at": "*-01-01 00:00 UTC", "catch_up": True},
        "prober": {"run": f"sh -c '({probes}) >$HOME/seen-by-job'"},
    }
    hooks = {"after_rollout": HOOK.format("after"), "on_failure": HOOK.format("failed")}
    project.converge(
        migrate="bin/app migrate", jobs=jobs, **hooks, start=f"sh -c '({probes}) >$HOME/seen; exec bin/app start'"
    )
    with visitors(project, slow=False):
        upgrade = project.converge(version="0.2.0")
        change = project.converge(env={"GREETING": "Good day"})
    assert upgrade.verbs == ["install", "migrate", "start", "wait", "cutover", "confirm", "drain", "stop", "hook"]
    assert change.verbs == ["start", "wait", "cutover", "confirm", "drain", "stop", "hook"]
    assert project.get() == (200, b"Good day from app 0.2.0\n")
    assert machine.read(f"{STATE}/{project.app}/migrations") == "0.1.0 Hello\n0.2.0 Hello\n"
    assert machine.read(f"{STATE}/{project.app}/seen") == "its-own-state\n"
    ran = project.run("run", project.app, "say", "--", "a b", "$HOME")
    assert (ran.code, ran.out) == (3, "says a b $HOME in 0.2.0\n"), str(ran)
    assert project.run("run", project.app, "prober").code == 0
    assert machine.read(f"{STATE}/{project.app}/seen-by-job") == "its-own-state\n"
    assert "says a b $HOME in 0.2.0" in project.run("logs", project.app, "--job", "say").out
    rows = {row["job"]: row for row in project.run("jobs", project.app, "--json").data}
    assert rows["say"]["problem"] == "its last run ended with exit status 3"
    told = project.run("exec", project.app, "--", "sh", "-c", 'echo "$GREETING, $(id -un), $HOME"')
    assert told.out == f"Good day, {LOGIN}, {STATE}/{project.app}\n"
    fenced = project.run("exec", project.app, "--", "sh", "-c", f"{probes}; printf here >&2; exit 7")
    assert (fenced.code, fenced.out, fenced.err.endswith("\nhere")) == (7, "its-own-state\n", True)
    assert project.run("exec", project.app, "--", "no-such-program").code == 127
    told = project.run("exec", project.app, "--candidate", "--", "sh", "-c", 'echo "$GREETING in $(pwd)"; exit 6')
    assert (told.code, told.out.startswith("Good day in "), "/releases/" in told.out) == (6, True, True), str(told)
    assert project.run("exec", project.app, "--", "sh", "-c", "kill -9 $$").code == 137
    assert len(project.run("exec", project.app, "--", "head", "-c", "1000000", "/dev/zero").out) == 1_000_000

    for version, bad_release, why, said in (
        ("0.3.0", small_release("0.3.0", fail_boot=True), "it exited 2 times", "cannot reach the database"),
        ("0.4.0", small_release("0.4.0", fail_migrate=True), "its migration failed", "column visits exists already"),
    ):
        project.add_artifact(bad_release, version)
        project.commit(version=version)
        bad = project.once()
        assert bad.code == 1
        assert f"version {version} failed here: {why}\n" in bad.told
        assert f"  | app {version}: {said}\n" in bad.told
    assert machine.read(f"{STATE}/{project.app}/hooks").splitlines() == [
        "after 0.1.0", "after 0.2.0", "after 0.2.0", "failed 0.3.0", "failed 0.4.0",
    ]  # fmt: skip
    assert f"{project.app}@{second}" in project.run("logs", project.app).out

    project.commit(version="0.2.0")
    machine.run(f"touch -d '2 years ago' $(find {HOME} -name 'stamp-{project.app}--*.timer')")
    machine.reboot()
    wait_for(lambda: project.get("/version")[0] == 200, 30, "it serves after the boot")
    missed = f"{STATE}/{project.app}/missed"
    wait_for(lambda: machine.run(f"cat {missed} 2>/dev/null || :").stdout, 20, "the run that was missed")
    assert (project.version_served, machine.read(missed)) == ("0.2.0", "0.2.0\n")
    before = everything(machine)
    assert (project.plan().code, project.once().verbs) == (0, [])
    assert changed_lines(before, everything(machine)) == []

    project.file.with_name("other.yaml").unlink()
    project.commit()
    assert project.once("--allow-prune").code == 0
    left = [line.split(" ")[0] for line in everything(machine).splitlines()]
    assert sorted(path for path in left if "other" in path) == [
        f"{STATE}/other",  # its data
        f"{HOME}/.local/state/reconcile/.history/other",
    ]
    outside = [path for path in left if not path.startswith((HOME, "/run/user/"))]
    assert outside == [f"/etc/traefik/dynamic/{project.app}.yml"]
    assert machine.run("journalctl --quiet --output cat _COMM=sudo").stdout == ""
    assert (
        f"{project.app}@{first}.service" in machine.run(f"ls {HOME}/.config/systemd/user/default.target.wants").stdout
    )


def test_an_app_without_root_has_processes_too(rootless: Project) -> None:
    """In units of the login's systemd, with the state of their app."""
    project, machine = rootless, rootless.machine
    allow(machine)
    start = "sh -c 'echo $RECONCILE_INSTANCE >>$HOME/mailed; exec bin/app work'"
    project.converge(processes={"mailer": {"start": start, "minimum_healthy_seconds": 1}})
    project.converge(version="0.2.0")

    unit = f"{project.app}--mailer@worker.service"
    environ = f"XDG_RUNTIME_DIR=/run/user/$(id -u {LOGIN})"
    shown = machine.run(f"runuser -u {LOGIN} -- env {environ} systemctl --user is-active {unit}")
    assert shown.stdout == "active\n"
    mailed = machine.read(f"{STATE}/{project.app}/mailed").splitlines()
    assert [line.partition("-")[0] for line in mailed] == ["0.1.0", "0.2.0"]
