"""Several hosts: the first proves a version, a failure stops the rest, and an absent host is finished later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts

QUICK = {"path": "/ping", "healthy_within_seconds": 3, "minimum_healthy_seconds": 0}


@pytest.fixture
def four(farm: Farm, machine_factory: MachineFactory) -> Iterator[list[Machine]]:
    machines = [machine_factory(f"fleet{number}") for number in range(4)]
    yield machines
    for machine in machines:
        farm.remove(machine)


def versions(project: Project) -> list[str]:
    rows = project.run("status", "--json").data
    return [row["runs"] or "nothing" for row in rows]


def test_a_failure_on_the_second_host_stops_the_rest_and_is_finished_after_repair(
    new_project: NewProject, four: list[Machine]
) -> None:
    """Exit 1; the first is on the new version, the rest on the old; after the repair one pass finishes."""
    project = new_project(four[0], hosts=[machine.name for machine in four], health=QUICK)
    project.converge()
    second = project.keys["ports"][1]
    stranger = f"our @kept=IO::Socket::INET->new(LocalPort=>{second},Listen=>1);sleep 600"
    four[1].run(f"systemd-run --quiet --unit=stranger perl -MIO::Socket::INET -e '{stranger}'")
    project.commit(version="0.2.0")

    result = project.once()
    assert result.code == 1
    assert versions(project) == ["0.2.0", "0.1.0", "0.1.0", "0.1.0"]
    assert f"port {second} is taken by another program" in result.told
    assert result.told.count(f"waits for host {four[1].name}") == 2

    four[1].run("systemctl stop stranger")
    assert project.once().code == 0
    assert versions(project) == ["0.2.0"] * 4


def test_an_unreachable_host_delays_no_other_and_is_finished_later(
    new_project: NewProject, four: list[Machine]
) -> None:
    project = new_project(four[0], hosts=[machine.name for machine in four[:3]], health=QUICK)
    project.converge()
    four[0].power_off_hard()
    project.commit(version="0.2.0")

    result = project.once()
    assert result.code == 1
    assert versions(project) == ["nothing", "0.2.0", "0.2.0"]

    four[0].boot()
    four[0].wait_until_reachable()
    assert project.once().code == 0
    assert versions(project) == ["0.2.0"] * 3


def test_with_on_failure_rollback_a_failure_on_one_host_rolls_the_others_back(
    new_project: NewProject, four: list[Machine]
) -> None:
    """Exit 1, one version everywhere, and so it stays; the fix goes to all of them."""
    policy = {"on_failure": "rollback"}
    project = new_project(four[0], hosts=[machine.name for machine in four[:2]], health=QUICK, rollout=policy)
    project.converge()
    four[1].write("/etc/no-database", "")
    project.commit(version="0.2.0", start="sh -c 'test ! -e /etc/no-database && exec bin/app start'")

    result = project.once()

    assert result.code == 1
    assert versions(project) == ["0.1.0", "0.1.0"]
    assert f"version 0.2.0 was rolled back, since it failed on host {four[1].name}" in result.told
    again = project.once()
    assert (again.code, again.verbs) == (1, [])
    project.converge(start="bin/app start", env={"GREETING": "Fixed"})
    assert versions(project) == ["0.2.0", "0.2.0"]
