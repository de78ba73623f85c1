"""A host that reboots or loses its power comes back serving the last routed version, with no controller anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched, wait_for

pytestmark = pytest.mark.hosts

COMES_BACK_SECONDS = 30
Cut = Callable[[Machine], None]


@pytest.fixture(scope="module")
def machine(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """One host for all these stories: a reboot leaves it as it was."""
    machine = machine_factory("power")
    yield machine
    farm.remove(machine)


@pytest.fixture
def rolling(new_project: NewProject, machine: Machine) -> Project:
    """An app that has just been rolled out, with its next version committed."""
    project = new_project(machine)
    project.converge()
    project.commit(version="0.2.0")
    return project


def power_cut(machine: Machine) -> None:
    machine.power_off_hard()
    machine.boot()
    machine.wait_until_reachable()


def reboot(machine: Machine) -> None:
    machine.reboot()


def comes_back_with(project: Project, version: str) -> None:
    """Visitors are answered again, by this version and no other."""
    wait_for(lambda: project.get("/version")[0] == 200, COMES_BACK_SECONDS, f"{version} serves after the boot")
    assert project.version_served == version


@pytest.mark.parametrize("cut", [reboot, power_cut])
def test_a_converged_host_serves_again_after_a_reboot(rolling: Project, cut: Cut) -> None:
    """One slot is enabled, so one instance starts; a pass then finds nothing to do."""
    project = rolling
    project.commit(version="0.1.0")

    cut(project.machine)

    comes_back_with(project, "0.1.0")
    assert project.running() == project.one_instance("0.1.0", project.keys["ports"][0])
    with nothing_touched(project.machine):
        assert project.once().verbs == []


def test_a_pass_during_boot_waits_for_units_still_to_be_started(rolling: Project) -> None:
    """Neither the app nor Traefik counts as stopped by hand, and the pass converges."""
    project, machine = rolling, rolling.machine
    project.commit(version="0.1.0")
    waits = "[Unit]\nWants=gate.service\nAfter=gate.service\n"
    gate = "[Service]\nType=oneshot\nExecStart=sh -c 'until [ -e /run/go ]; do sleep 0.1; done'\n"
    machine.write("/etc/systemd/system/gate.service", gate)
    for unit in ("traefik", f"{project.app}@"):
        machine.write(f"/etc/systemd/system/{unit}.service.d/late.conf", waits)
    machine.run("sync")
    power_cut(machine)
    live = f"{project.app}@{project.keys['ports'][0]}"
    assert machine.run(f"systemctl is-active traefik {live}", check=False).stdout.split() == ["inactive"] * 2
    machine.run("systemd-run --quiet sh -c 'sleep 3; touch /run/go'")

    result = project.once()

    assert (result.code, result.verbs) == (0, ["wait"])
    assert project.version_served == "0.1.0"
    machine.run("rm -r /etc/systemd/system/gate.service /etc/systemd/system/*.d/late.conf && systemctl daemon-reload")


def test_a_boot_into_a_mixture_of_two_versions_is_replaced(rolling: Project) -> None:
    """As after a power cut between two renames: the link leads to one version, the env is of the other."""
    project = rolling
    first, second = project.keys["ports"]
    assert project.once().code == 0
    link = f"/srv/{project.app}/slots/{second}"
    project.machine.run(f"ln -sfn ../releases/{project.release_id('0.1.0')} {link}; sync")
    power_cut(project.machine)
    comes_back_with(project, "0.1.0")

    result = project.once()

    assert (result.code, result.verbs) == (0, ["start", "wait", "cutover", "confirm", "drain", "stop"]), str(result)
    assert project.version_served == "0.2.0"
    assert project.running() == project.one_instance("0.2.0", first)


@pytest.mark.parametrize(
    ("event", "cut"),
    [
        ("install", power_cut),
        ("start", power_cut),
        ("wait", reboot),
        ("wait", power_cut),
        ("cutover", reboot),
        ("cutover", power_cut),
        ("confirm", power_cut),
        ("drain", power_cut),
    ],
)
def test_a_host_that_reboots_during_a_rollout_serves_the_routed_version(rolling: Project, event: str, cut: Cut) -> None:
    """The controller dies right after that action, then the host; the next pass finishes the rollout."""
    project = rolling
    first, second = project.keys["ports"]
    project.killed_after(f"{event}.finished")

    cut(project.machine)

    routed = project.lies()["route"]
    assert routed == [str(second)] or event in ("install", "start", "wait")
    comes_back_with(project, "0.1.0" if routed == [str(first)] else "0.2.0")
    result = project.once()
    assert result.code == 0, str(result)
    assert project.version_served == "0.2.0"
    assert project.running() == project.one_instance("0.2.0", second)


@pytest.mark.parametrize("event", ["start", "wait", "cutover"])
def test_an_unproven_version_on_one_port_is_not_started_after_a_power_cut(
    new_project: NewProject, machine: Machine, event: str
) -> None:
    """The old version was stopped for the new one; until that is accepted, the power may go and the old one is back."""
    project = new_project(machine, ports=[4900])
    project.converge()
    project.commit(version="0.2.0", stop_seconds=7)
    before = project.machine.read(f"/etc/systemd/system/{project.app}@.service")
    project.killed_after(f"{event}.finished")

    power_cut(project.machine)

    comes_back_with(project, "0.2.0" if event == "cutover" else "0.1.0")
    unit = project.machine.read(f"/etc/systemd/system/{project.app}@.service")
    assert (unit == before) == (event != "cutover")
    assert project.once().code == 0
    assert project.running() == project.one_instance("0.2.0", 4900)
    project.file.unlink()
    project.commit()
    project.machine.run(f"systemctl disable --now {project.app}@4900")  # the next test has the port
