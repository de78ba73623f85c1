"""An app with processes beside its web process: one version of all of them, and never two of one process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched, wait_for
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts

ALONE = "flock --nonblock $HOME/mailer.lock bin/app work"  # a second one ends at once
MAILER: dict[str, Any] = {"start": ALONE, "minimum_healthy_seconds": 1, "stop_seconds": 5}
WORKER: dict[str, Any] = {"start": "bin/app work", "minimum_healthy_seconds": 1, "count": 2}


@pytest.fixture
def whole(new_project: NewProject, own: Machine) -> Project:
    return new_project(own, processes={"mailer": MAILER, "worker": WORKER})


def versions(project: Project) -> dict[str, str]:
    """What runs of each process: the version in the release in which its main process works."""
    seen = {}
    for name in ("mailer", "worker", "worker-2"):
        unit = f"{project.app}--{name}@worker.service"
        script = f'cat "/proc/$(systemctl show -P MainPID {unit})/cwd/VERSION"; systemctl is-enabled {unit}'
        seen[name] = " ".join(project.machine.run(script, check=False).stdout.split())
    return seen


def all_at(version: str) -> dict[str, str]:
    return dict.fromkeys(("mailer", "worker", "worker-2"), f"{version} enabled")


def test_a_version_is_the_web_process_and_all_others(whole: Project) -> None:
    """Rolled out together under load, with one upload; it comes back as one after a reboot with no controller."""
    project, machine = whole, whole.machine
    first = project.converge()
    assert versions(project) == all_at("0.1.0")
    assert "uploaded" not in first.told

    project.commit(version="0.2.0")
    plan = project.plan()
    with visitors(project, slow=False):
        upgrade = project.once()

    assert (upgrade.code, versions(project), project.version_served) == (0, all_at("0.2.0"), "0.2.0"), str(upgrade)
    assert f"waits for {project.app}--mailer" in plan.out
    with nothing_touched(machine):
        quiet = project.once()
    assert (quiet.code, quiet.verbs) == (0, [])

    machine.reboot()
    wait_for(lambda: versions(project) == all_at("0.2.0"), 30, "all of it is back")


def test_a_process_that_does_not_come_up_takes_the_version_back(whole: Project) -> None:
    """Visitors see nothing of it; the former version of each process runs again, and the log of the one is told."""
    project = whole
    project.converge()
    project.add_artifact(small_release("0.2.0"), "0.2.0")
    project.commit(version="0.2.0", processes={"mailer": MAILER, "worker": {**WORKER, "env": {"FAIL_BOOT": "yes"}}})

    with visitors(project, slow=False):
        result = project.once()

    assert result.code == 1
    assert "its process worker failed: " in result.told
    assert "  | app 0.2.0: no queue to work on\n" in result.told
    assert (versions(project), project.version_served) == (all_at("0.1.0"), "0.1.0")
    with nothing_touched(project.machine):
        again = project.once()
    assert (again.code, again.verbs) == (1, [])

    ends_at_cutover = (
        f"until grep -q slot={project.keys['ports'][1]} /etc/traefik/dynamic/{project.app}.yml; do sleep 0.02; done"
    )
    project.commit(processes={"mailer": {**MAILER, "start": f"sh -c '{ends_at_cutover}'"}, "worker": WORKER})
    with visitors(project, slow=False):
        result = project.once()
    assert (result.code, "its process mailer failed: " in result.told) == (1, True), str(result)
    assert "goback" in result.verbs
    assert (versions(project), project.version_served) == (all_at("0.1.0"), "0.1.0")
    assert project.once().verbs == []

    project.converge(version="0.2.0", processes={"mailer": MAILER, "worker": WORKER})
    assert (versions(project), project.version_served) == (all_at("0.2.0"), "0.2.0")


def test_a_stopped_process_is_started_and_one_that_is_not_desired_is_removed(whole: Project) -> None:
    project, machine = whole, whole.machine
    project.converge()
    machine.run(f"systemctl disable --now {project.app}--mailer@worker.service")

    project.converge()
    assert versions(project) == all_at("0.1.0")

    project.converge(processes={"mailer": MAILER})
    assert versions(project)["worker"] == ""
    assert machine.run(f"ls -d /srv/{project.app}--*").stdout.split() == [f"/srv/{project.app}--mailer"]


def test_an_app_without_a_web_process_has_processes_only(new_project: NewProject) -> None:
    """The first of them has the app's own unit."""
    app = new_project(ports=None, route=None, health=None, start=None, processes={"mailer": MAILER, "worker": WORKER})
    app.converge()
    app.converge(version="0.2.0")

    units = app.machine.run(f"systemctl list-units --plain --no-legend --state=active '{app.app}*@*'").stdout
    names = [line.split()[0] for line in units.splitlines()]
    assert names == [f"{app.app}{each}@worker.service" for each in ("--worker-2", "--worker", "")]


def test_a_process_can_be_asked_for_by_its_name(whole: Project) -> None:
    project = whole
    project.converge(processes={"mailer": {**MAILER, "env": {"QUEUE": "letters"}}})

    assert "app 0.1.0: works" in project.run("logs", project.app, "--process", "mailer").out
    assert "app 0.1.0: works" not in project.run("logs", project.app).out
    inside = project.run("exec", f"{project.app}--mailer", "--", "sh", "-c", "echo $QUEUE; [ -O $HOME ] && echo $HOME")
    assert inside.out == f"letters\n/var/lib/{project.app}\n", str(inside)
    unknown = project.run("logs", project.app, "--process", "postman")
    assert (unknown.code, unknown.err) == (2, f"{project.app} has no process postman\nnext: known: mailer\n")
