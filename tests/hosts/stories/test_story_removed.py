"""Only apps that the desired state no longer names are removed."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for, yaml
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts


SLOW = """sh -c 'echo begins >>$HOME/runs; until [ -e "$HOME/go" ]; do sleep 0.1; done; echo ends >>$HOME/runs'"""


def timers(machine: Machine) -> list[str]:
    """The timers of jobs that run."""
    listed = machine.run("systemctl list-units --plain --no-legend --type=timer 'other1--*' 'fresh--*'").stdout
    return [line.split()[0] for line in listed.splitlines()]


@pytest.fixture
def keeper(new_project: NewProject, own: Machine) -> Project:
    """A repository with three apps; the project itself is the first."""
    project = new_project(own)
    for number in (1, 2):
        write(project, f"other{number}", number)
    return project


def write(project: Project, name: str, number: int, **more: Any) -> None:
    """One more app in the same repository, from the same tarballs."""
    first = project.keys["ports"][0] + 10 * number
    keys = {
        **project.keys,
        "app": name,
        "artifact": {"source": f"../build/{project.app}-{{version}}.tar.gz"},
        "ports": [first, first + 1],
        "route": {"domains": [f"{name}.test"], "tls": False},
        **more,
    }
    lines = (f"{key}: {yaml(value)}\n" for key, value in keys.items() if value is not None)
    project.file.with_name(f"{name}.yaml").write_text("".join(lines))


def whats_left(project: Project, name: str) -> str:
    places = f"/srv/{name} /etc/reconcile/{name} /var/lib/reconcile/{name} /etc/traefik/dynamic/{name}.yml"
    return project.machine.run(
        f"ls -d {places} /etc/systemd/system/{name}@.service 2>/dev/null\n"
        f"systemctl list-units --plain --no-legend '{name}@*'"
    ).stdout


def test_an_app_whose_file_was_deleted_leaves_nothing_behind(keeper: Project) -> None:
    """The plan lists it; the other apps' visitors notice nothing."""
    keeper.converge()
    keeper.file.with_name("other1.yaml").unlink()
    keeper.commit()

    plan = keeper.plan()
    assert plan.code == 3
    assert plan.out.split()[1] == "unroute"
    with visitors(keeper, slow=False):
        result = keeper.once()

    assert result.code == 0, str(result)
    assert whats_left(keeper, "other1") == ""
    assert whats_left(keeper, "other2") != ""
    assert keeper.once().verbs == []
    history = keeper.run("history", "other1", "--json").data
    assert [(entry["from"], entry["to"]) for entry in history] == [("", "0.1.0"), ("0.1.0", "")]


def test_removing_most_of_the_apps_needs_allow_prune(keeper: Project) -> None:
    keeper.converge()
    for number in (1, 2):
        keeper.file.with_name(f"other{number}.yaml").unlink()
    keeper.commit()

    result = keeper.once()
    assert (result.code, result.verbs) == (1, [])
    assert "removing 2 of 3 apps at once (other1, other2) is more than a third; --allow-prune allows it" in result.told
    assert keeper.once("--allow-prune").code == 0
    assert whats_left(keeper, "other1") + whats_left(keeper, "other2") == ""


def test_an_empty_desired_state_removes_nothing(keeper: Project) -> None:
    keeper.converge()
    shutil.rmtree(keeper.file.parent)
    keeper.git("add", "-A")
    keeper.git("commit", "-q", "-m", "oops")

    assert keeper.once("--allow-prune").code == 2
    assert keeper.get()[0] == 200


def test_a_renamed_app_serves_throughout(keeper: Project) -> None:
    """The old one leaves only when the new one is healthy and routed, and when the run of its job has ended.

    There is one timer at most: it leaves with the former name, and comes with the new one after that run.
    """
    machine, home = keeper.machine, "/var/lib/other1"
    jobs = {"slow": {"run": SLOW, "at": "*-01-01 00:00 UTC"}}
    write(keeper, "other1", 1, jobs=jobs)
    keeper.converge()
    machine.run("systemctl start --no-block other1--slow.service")
    wait_for(lambda: machine.run(f"cat {home}/runs 2>/dev/null || :").stdout, 10, "the run begins")
    domain = {"domains": ["other1.test"], "tls": False}
    keeper.file.with_name("other1.yaml").unlink()
    write(keeper, "fresh", 3, moved_from="other1", route=domain, jobs=jobs)
    keeper.commit()

    with visitors(keeper, slow=False):
        waits = keeper.once()
    assert waits.code == 1
    assert "job slow is not scheduled here yet, since a run of job slow of other1 is under way" in waits.told
    assert timers(machine) == []
    assert machine.run("systemctl is-active other1--slow.service", check=False).stdout == "activating\n"
    machine.run(f"touch {home}/go")
    wait_for(lambda: machine.read(f"{home}/runs") == "begins\nends\n", 10, "the run ends")
    with visitors(keeper, slow=False):
        result = keeper.once()

    assert result.code == 0, str(result)
    assert timers(machine) == ["fresh--slow.timer"]
    assert whats_left(keeper, "other1") == ""
    assert whats_left(keeper, "fresh") != ""


def test_another_repository_on_the_same_host_is_left_alone(keeper: Project, new_project: NewProject) -> None:
    keeper.converge()
    stranger = new_project(keeper.machine)
    stranger.commit()

    assert stranger.once().code == 0
    assert keeper.once().verbs == []
    assert stranger.get()[0] == keeper.get()[0] == 200
