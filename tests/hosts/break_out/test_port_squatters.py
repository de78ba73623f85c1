"""e: an app that takes the port of another gets none of its visitors for longer than until the next pass.

Debian 12 and Ubuntu 24.04 cannot hold an app to its ports (their systemd is built without BPF), so a neighbour may take
one while its owner is down. The route leaves it, and all heals when it lets go. All of this on a real host.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.break_out.squatter import Squatter, http, squatting
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for

pytestmark = pytest.mark.hosts

STOLEN = http(b"STOLEN")
# For as long as it lives it tries to take the ports that it is told.
TAKE = r"""
use strict; use warnings; use IO::Socket::INET; use IO::Select;
my %held; my $select = IO::Select->new;
while (1) {
  for my $port (grep { !$held{$_} } @ARGV) {
    my @where = (LocalAddr => '127.0.0.1', LocalPort => $port);
    $held{$port} = IO::Socket::INET->new(@where, Listen => 64, ReuseAddr => 1) or next;
    $select->add($held{$port});
  }
  for my $socket ($select->can_read(0.01)) {
    my $client = $socket->accept or next;
    sysread $client, my $request, 65536;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nSTOLEN";
  }
}
"""


@pytest.fixture
def victim(new_project: NewProject) -> Iterator[Project]:
    """An app that serves, whose health needs little time."""
    project = new_project(health={"path": "/ping", "healthy_within_seconds": 5, "minimum_healthy_seconds": 0})
    project.converge()
    yield project
    project.machine.run("systemctl stop squatter", check=False)


def ports(project: Project) -> list[int]:
    return list(project.keys["ports"])


def robbed(project: Project, squatter: Squatter, port: int) -> None:
    """One crash is enough: the squatter has the port before systemd starts the instance again."""
    project.machine.run(f"systemctl kill -s KILL {project.app}@{port}")
    squatter.wait_until_it_has(port)


def because(project: Project) -> str:
    return str(project.status()["because"])


def test_an_app_whose_ports_were_both_taken_loses_its_route_and_recovers(victim: Project) -> None:
    """The next pass removes the route and says why; nothing is quarantined."""
    port = ports(victim)[0]
    with squatting(victim.machine, *ports(victim), answer=STOLEN) as squatter:
        robbed(victim, squatter, port)
        assert victim.get() == (200, b"STOLEN")  # nobody of ours is there at that moment

        result = victim.once()
        assert (result.code, result.verbs) == (1, ["unroute"]), str(result)
        wait_for(lambda: victim.get()[0] == 404, 5, "the route has left")
        assert f"port {port} is taken by another program" in result.told
        assert "is taken by another program" in because(victim)
        for _ in range(2):
            assert (victim.once().verbs, victim.get()[0]) == ([], 404)
        assert victim.lies()["enabled"] == [f"{victim.app}@{port}.service"]

    wait_for(lambda: victim.once().code == 0, 60, "it is converged again")
    assert victim.get() == (200, b"Hello from app 0.1.0\n")


def test_an_app_that_lost_one_port_moves_to_its_other_one(victim: Project) -> None:
    """In the same pass; the squatter keeps what nobody is sent to."""
    first, second = ports(victim)
    with squatting(victim.machine, first, answer=STOLEN) as squatter:
        robbed(victim, squatter, first)

        result = victim.once()

        assert (result.code, result.verbs[:1]) == (0, ["unroute"]), str(result)
        assert victim.get() == (200, b"Hello from app 0.1.0\n")
        assert victim.running() == victim.one_instance("0.1.0", second)
        assert victim.once().verbs == []


def test_a_version_whose_port_was_taken_is_not_quarantined(victim: Project) -> None:
    """A program that takes the idle port just when it is needed delays the rollout, and does nothing else."""
    second = ports(victim)[1]
    victim.commit(version="0.2.0")
    with squatting(victim.machine, second, answer=STOLEN) as squatter:
        squatter.wait_until_it_has(second)
        result = victim.once()

        assert (result.code, f"port {second} is taken by another program" in result.told) == (1, True), str(result)
        assert victim.get() == (200, b"Hello from app 0.1.0\n")
    assert victim.once().code == 0
    assert victim.get() == (200, b"Hello from app 0.2.0\n")


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_a_listener_on_another_address_of_the_port_takes_no_traffic(victim: Project, address: str) -> None:
    """The same port of another address gets no visitor: it costs the app neither its route nor a rollout."""
    first, second = ports(victim)
    with squatting(victim.machine, first, second, answer=STOLEN, address=address) as squatter:
        squatter.wait_until_it_has(first)
        squatter.wait_until_it_has(second)

        quiet = victim.once()
        rolled = victim.converge(version="0.2.0")

    assert (quiet.code, quiet.verbs) == (0, []), str(quiet)
    assert rolled.verbs[-1] == "stop"
    assert victim.get() == (200, b"Hello from app 0.2.0\n")


def test_many_listeners_beside_an_app_do_not_hide_it(victim: Project) -> None:
    """However many addresses of its port a neighbour takes."""
    port = ports(victim)[0]
    # A doubled dollar sign is one to systemd.
    listen = f"IO::Socket::INET->new(LocalAddr=>qq(127.0.0.$$_),LocalPort=>{port},Listen=>1)"
    loop = f"our @kept=map {{{listen}}} 2..60; sleep 600"
    victim.machine.run(f"systemd-run --quiet --unit=squatter -p DynamicUser=yes perl -MIO::Socket::INET -e '{loop}'")
    wait_for(lambda: int(victim.machine.run(f"grep -c ':{port:04X} 0' /proc/net/tcp").stdout) >= 60, 10, "they listen")

    result = victim.once()

    assert (result.code, result.verbs) == (0, []), str(result)


def test_a_squatter_that_is_our_own_app_is_named(new_project: NewProject, victim: Project) -> None:
    """An app that another app of reconcile is: `status` says which one to look at."""
    first, second = ports(victim)
    start = f'perl -e "$TAKE" {first} {second}'
    evil = new_project(route=None, health=None, ports=None, start=start, env={"TAKE": TAKE})
    evil.converge()
    victim.machine.run(f"systemctl kill -s KILL {victim.app}@{first}")
    wait_for(lambda: victim.get() == (200, b"STOLEN"), 20, "evil has the port")

    result = victim.once()

    assert f"port {first} is taken by the app {evil.app}\n" in result.told
    wait_for(lambda: victim.get()[0] == 404, 5, "the route has left")
    assert f"the app {evil.app}" in because(victim)
    evil.machine.run(f"systemctl stop '{evil.app}@*'")
    wait_for(lambda: victim.once().code == 0, 60, "it is converged again")
    assert victim.get() == (200, b"Hello from app 0.1.0\n")


def test_a_port_taken_during_boot_loses_the_route_in_the_first_pass(victim: Project) -> None:
    """During boot no controller runs; the first pass repairs it."""
    port = ports(victim)[0]
    machine: Machine = victim.machine
    machine.run(f"systemctl stop {victim.app}@{port}")
    with squatting(machine, *ports(victim), answer=STOLEN) as squatter:
        squatter.wait_until_it_has(port)
        machine.run(f"systemctl start --no-block {victim.app}@{port}")
        wait_for(
            lambda: machine.run(f"systemctl show -P NRestarts {victim.app}@{port}").stdout.strip() > "0", 20, "crashes"
        )

        result = victim.once()

        assert (result.code, result.verbs) == (1, ["unroute"]), str(result)
        wait_for(lambda: victim.get()[0] == 404, 5, "the route has left")
    wait_for(lambda: victim.once().code == 0, 60, "it is converged again")
