"""Several hosts: the first proves a version, a failure stops the rest, and an absent host is finished later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for

pytestmark = pytest.mark.hosts

QUICK = {"path": "/ping", "healthy_within_seconds": 3, "minimum_healthy_seconds": 0}


@pytest.fixture(scope="module")
def four(farm: Farm, machine_factory: MachineFactory) -> Iterator[list[Machine]]:
    """Hosts that each test leaves whole; it has an app and ports of its own."""
    machines = [machine_factory(f"fleet{number}") for number in range(4)]
    yield machines
    for machine in machines:
        farm.remove(machine)


def versions(project: Project) -> list[str]:
    rows = project.run("status", "--json").data
    return [row["runs"] or "nothing" for row in rows]


def hosts_with_timer(machines: list[Machine]) -> list[str]:
    """Where the timer of a job runs."""
    listed = "systemctl list-units --plain --no-legend --type=timer 'small-*--*'"
    return [machine.name for machine in machines if machine.run(listed).stdout]


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
    """Nor does its job, which is to go to another host, run on both."""
    project = new_project(four[0], hosts=[machine.name for machine in four[:3]], health=QUICK)
    tick = {"run": """sh -c 'date +%s >>"$HOME/ticks"'""", "at": "*-*-* *:*:0/1 UTC"}
    project.converge(jobs={"tick": tick})
    assert hosts_with_timer(four) == [four[0].name]
    four[0].power_off_hard()
    project.commit(version="0.2.0", jobs={"tick": {**tick, "host": four[1].name}})

    result = project.once()
    assert result.code == 1
    assert versions(project) == ["nothing", "0.2.0", "0.2.0"]
    why = f"job tick is not scheduled here yet, since {four[0].name} cannot be reached and may still run it"
    assert why in result.told
    assert hosts_with_timer(four[1:]) == []

    four[0].boot()
    four[0].wait_until_reachable()
    assert project.once().code == 0
    assert versions(project) == ["0.2.0"] * 3
    assert hosts_with_timer(four) == [four[1].name]
    ticks = f"/var/lib/{project.app}/ticks"
    wait_for(lambda: four[1].run(f"cat {ticks} 2>/dev/null || :").stdout, 10, "a tick in its new place")
    last, first = four[0].read(ticks).split()[-1], four[1].read(ticks).split()[0]
    assert int(last) <= int(first)


def test_a_hook_runs_once_per_rollout_or_on_each_host(new_project: NewProject, four: list[Machine]) -> None:
    """Once: on the host that began the rollout, when the last one is done."""
    note = "sh -c 'echo {} $(cat VERSION) >>$STATE_DIRECTORY/hooks'"
    hooks = {"after_rollout": note.format("after"), "on_failure": {"run": note.format("failed"), "each_host": True}}
    project = new_project(four[0], hosts=[machine.name for machine in four[:2]], health=QUICK)

    def noted() -> list[str]:
        path = f"/var/lib/{project.app}/hooks"
        return [machine.run(f"cat {path} 2>/dev/null || :; rm -f {path}").stdout for machine in four[:2]]

    project.converge(**hooks)
    assert noted() == ["after 0.1.0\n", ""]
    project.converge(version="0.2.0", after_rollout={"run": note.format("after"), "each_host": True})
    assert noted() == ["after 0.2.0\n", "after 0.2.0\n"]
    project.commit(env={"NEVER_HEALTHY": "1"})
    assert project.once().code == 1
    assert noted() == ["failed 0.2.0\n", ""]


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
    four[1].run("rm /etc/no-database")
