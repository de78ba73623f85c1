"""A Traefik installed by hand: left alone without `version`, taken over with it."""

from __future__ import annotations

import pytest

from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.managed import NEWER, instances, managed, traefik_of, write_fleet
from tests.hosts.stories.project import Project, nothing_touched, wait_for

pytestmark = pytest.mark.hosts

LONGEST_SILENCE_SECONDS = 8  # about one on an idle machine
ACME = '{"letsencrypt": {"Account": {"Email": "ops@example.com"}}}'
STATE = "systemctl show -P ActiveState -P UnitFileState traefik.service"


@pytest.fixture
def served(new_project: NewProject, own: Machine) -> Project:
    """An app behind the Traefik of deploy/traefik, which has certificates to lose."""
    project = new_project(own)
    project.converge()
    own.write("/var/lib/traefik/acme.json", ACME, 0o600)
    own.run("chown traefik: /var/lib/traefik/acme.json")
    return project


def test_a_traefik_of_our_script_is_taken_over_with_its_certificates_in_a_second(served: Project) -> None:
    """The plan says for how long; afterwards the old unit neither runs nor comes back, and nothing is left to do."""
    project, machine = served, served.machine
    with nothing_touched(machine):
        assert project.once().verbs == []  # without a version it is nobody's business but its owner's
    write_fleet(project, **managed())
    project.commit()
    plan = project.plan()

    load = Load(Target(machine.address, project.domain), [Stream("GET", 50, "/", keep_alive=False)])
    with load.running():
        result = project.once()

    print(load.summary())
    assert "takes over from traefik.service: no service for about a second" in plan.out
    assert (result.code, result.verbs) == (0, ["install", "start", "wait", "enable"]), str(result)
    silent = [sample.at for sample in load.failures]
    assert silent and max(silent) - min(silent) < LONGEST_SILENCE_SECONDS, load.summary()
    assert machine.run(STATE, check=False).stdout.split() == ["inactive", "disabled"]
    assert machine.read("/var/lib/traefik/acme.json") == ACME
    assert machine.run("stat -c %a /var/lib/traefik/acme.json").stdout == "600\n"
    with nothing_touched(machine):
        assert project.once().verbs == []
    machine.reboot()
    assert (project.once().verbs, project.get()[0]) == ([], 200)


def test_a_failed_takeover_of_traefik_restores_the_old_unit(served: Project) -> None:
    """With settings that do not start, the old unit serves again, its certificates with it."""
    project, machine = served, served.machine
    write_fleet(project, **managed(https_port=22))
    project.commit()

    result = project.once()

    assert (result.code, result.verbs[-1]) == (1, "reject"), str(result)
    assert machine.run(STATE, check=False).stdout.split() == ["active", "enabled"]
    wait_for(lambda: project.get()[0] == 200, 40, "the old one has read its routes")
    assert instances(project) == []
    assert machine.read("/var/lib/traefik/acme.json") == ACME


def test_a_foreign_traefik_is_left_alone_until_it_is_adopted(served: Project) -> None:
    """A unit that our script did not write is refused, with the way through."""
    project, machine = served, served.machine
    machine.run("sed -i '/deploy.traefik.install/d' /etc/systemd/system/traefik.service && systemctl daemon-reload")
    write_fleet(project, **managed())
    project.commit()

    with nothing_touched(machine):
        refused = project.once()
    adopted = project.run("adopt", "traefik")
    result = project.once()

    assert (refused.code, "reconcile adopt traefik" in refused.err) == (1, True), str(refused)
    assert (adopted.code, result.code) == (0, 0), f"{adopted}{result}"
    assert traefik_of(project).lies()["enabled"] == ["traefik@8080.service"]
    assert project.run("status", "--json").data[0]["runs"] == NEWER
