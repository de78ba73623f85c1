"""e: where the host's systemd is built with BPF, an app cannot listen on the port of another at all, not even at boot.

Debian 13 is; on this machine its hosts need a kernel with BTF, and the mirror of that suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.break_out.test_port_squatters import TAKE
from tests.hosts.conftest import MachineFactory
from tests.hosts.distribution import DEBIAN_13
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.process import HostsError
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.managed import managed, write_fleet
from tests.hosts.stories.project import wait_for

pytestmark = pytest.mark.hosts

# Each port that it is told, and whether it can listen there; 0 is one that the kernel hands out.
TRY = r"""
use IO::Socket::INET; $| = 1;
sub can { IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => shift, Listen => 1) ? '+' : '-' }
print join(' ', map { can($_) . $_ } @ARGV), "\n";
sleep 600;
"""


@pytest.fixture(scope="module")
def fenced(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("this kernel has no BTF, without which systemd does not use BPF")
    try:
        machine = machine_factory("fenced", with_traefik=False, distribution=DEBIAN_13)
    except HostsError as error:
        pytest.skip(f"no host of {DEBIAN_13.suite} can be made: {error}")
    yield machine
    farm.remove(machine)


def test_an_app_listens_on_its_own_ports_and_on_no_other(new_project: NewProject, fenced: Machine) -> None:
    """Those that are handed out at random are for all; Traefik has its own, and `doctor` says that ports are kept."""
    project = new_project(fenced)
    write_fleet(project, **managed())
    project.converge()
    first, second = project.keys["ports"]
    evil = new_project(
        fenced,
        route=None,
        health=None,
        ports=None,
        sandbox={"extra_ports": [9568]},
        start=f'perl -e "$TRY" {first} {second} 8081 22 9568 9569 0 40000 61001',
        env={"TRY": TRY},
    )
    evil.converge()

    said = fenced.run(f"journalctl --sync; journalctl -u {evil.app}@worker -o cat | grep 9568").stdout

    assert said == f"-{first} -{second} -8081 -22 +9568 -9569 +0 +40000 -61001\n"
    assert project.converge(version="0.2.0").verbs[-1] == "stop"  # Traefik and the app listen on all of theirs
    assert project.get() == (200, b"Hello from app 0.2.0\n")
    assert "ports" in project.run("doctor", fenced.name).out


def test_a_neighbour_cannot_take_the_port_at_boot_or_after_a_crash(new_project: NewProject, fenced: Machine) -> None:
    """Nobody of ours is there then. What systemd forgets at a daemon-reload, a route that leaves has to make good."""
    project = new_project(fenced)
    write_fleet(project, **managed())
    project.converge()
    first, second = project.keys["ports"]
    start = f'perl -e "$TAKE" {first} {second}'
    evil = new_project(fenced, route=None, health=None, ports=None, start=start, env={"TAKE": TAKE})
    evil.converge()

    fenced.reboot()
    wait_for(lambda: project.get() == (200, b"Hello from app 0.1.0\n"), 30, "it serves after the boot")
    for _ in range(3):
        fenced.run(f"systemctl kill -s KILL {project.app}@{first}")
        wait_for(lambda: project.get() == (200, b"Hello from app 0.1.0\n"), 20, "it serves again")

    assert fenced.run(f"systemctl is-active {evil.app}@worker").stdout == "active\n"
    assert project.once().verbs == []
