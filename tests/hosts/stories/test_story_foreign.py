"""Foreign files are refused by name and never overwritten."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts

UNIT = "[Service]\nExecStart=/bin/sleep infinity\n"
ROUTE = "http: {routers: {mine: {rule: Host(`mine.test`), service: ping@internal}}}\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/systemd/system/{app}@.service", UNIT),
        ("/etc/traefik/dynamic/{app}.yml", ROUTE),
        ("/etc/reconcile/{app}/{port}.env", "MINE=1\n"),
    ],
    ids=["unit", "route", "env file"],
)
def test_a_foreign_file_is_refused_and_left_alone(project: Project, path: str, text: str) -> None:
    """Exit 1, its path in the message, nothing touched; without it the rollout goes through."""
    path = path.format(app=project.app, port=project.keys["ports"][1])
    project.machine.write(path, text)
    project.commit()

    with nothing_touched(project.machine):
        result = project.once()

    assert (result.code, result.verbs) == (1, [])
    assert result.told == (
        f"host {project.machine.name}: {project.app}: {path} was not written by reconcile and is left alone\n"
        "  next: move it away, or choose another app name\n"
    )
    assert project.machine.read(path) == text
    project.machine.run(f"rm {path}")
    project.converge()
    assert project.get()[0] == 200


def test_a_foreign_program_on_the_port_is_named(project: Project) -> None:
    """An answer of a foreign program proves nothing: the rollout does not start."""
    port = project.keys["ports"][0]
    listen = f"IO::Socket::INET->new(LocalAddr=>'127.0.0.1',LocalPort=>{port},Listen=>5)"
    project.machine.run(
        f'systemd-run --quiet --unit=stranger{port} perl -MIO::Socket::INET -e "my \\$s={listen}; sleep 600"'
    )
    project.machine.run(f"until grep -q ':{port:04X} ' /proc/net/tcp; do sleep 0.05; done")
    project.commit()

    with nothing_touched(project.machine):
        result = project.once()

    assert (result.code, result.verbs) == (1, [])
    assert f"port {port} is taken by another program\n" in result.told
    project.machine.run(f"systemctl stop stranger{port}")
    project.converge()


def test_a_fault_of_the_host_is_told_and_the_version_gets_through_when_it_is_gone(project: Project) -> None:
    """A client that holds the port, a masked unit, no sandbox for the migration: the release is not to blame."""
    machine, port = project.machine, project.keys["ports"][1]
    project.converge()
    client = f"IO::Socket::INET->new(PeerAddr=>'127.0.0.1:22',LocalAddr=>'127.0.0.1',LocalPort=>{port})"
    machine.run(f'systemd-run --quiet --unit=client{port} perl -MIO::Socket::INET -e "my \\$s={client}; sleep 600"')
    machine.run(f"until grep -q ':{port:04X} 0100007F:0016 01' /proc/net/tcp; do sleep 0.05; done")
    project.commit(version="0.2.0")

    busy = project.once()
    machine.run(f"systemctl stop client{port}; systemctl mask {project.app}@{port}.service")
    masked = project.once()
    machine.run(f"systemctl unmask {project.app}@{port}.service")
    project.commit(migrate='sh -c "exit 226"')
    apart = project.once()

    assert busy.code == masked.code == apart.code == 1
    assert f"port {port} is in use by an outgoing connection of another program on this host\n" in busy.told, str(busy)
    assert "is masked" in masked.told, str(masked)
    assert "systemd cannot start a migration on this host" in apart.told, str(apart)
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    project.converge(migrate="true")
    assert project.version_served == "0.2.0"
