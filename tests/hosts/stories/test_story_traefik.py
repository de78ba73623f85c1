"""Traefik itself as desired state: installed, changed, upgraded, taken over and left alone."""

from __future__ import annotations

import http.client
import re
import shlex
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.managed import NEWER, OLDER, instances, load_on, managed, traefik_of, write_fleet
from tests.hosts.stories.project import Project, nothing_touched, seen_by_others, wait_for
from tests.support.child import killed_at_the_end

pytestmark = pytest.mark.hosts

# In two changes. The new one takes connections in just before it knows its routes: longer on busy cores.
MOST_FAILED_SHARE = 0.02


@pytest.fixture(scope="module")
def bare(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host on which nobody has installed Traefik."""
    machine = machine_factory("bare", with_traefik=False)
    yield machine
    farm.remove(machine)


@pytest.fixture(scope="module")
def _kept() -> dict[str, Project]:
    return {}


@pytest.fixture
def edge(new_project: NewProject, bare: Machine, _kept: dict[str, Project]) -> Project:
    """An app behind a Traefik of ours, converged: each story leaves it so, with any configuration and in any slot."""
    if "edge" not in _kept:
        project = new_project(bare)
        write_fleet(project, **managed(OLDER))
        project.converge()
        _kept["edge"] = project
    return _kept["edge"]


def live_slot(project: Project) -> str:
    """The port of the one Traefik that runs and is enabled for boot."""
    (unit,) = instances(project)
    port = re.fullmatch(r"traefik@(\d+)\.service active", unit)
    assert port and traefik_of(project).lies()["enabled"] == [f"traefik@{port[1]}.service"]
    return port[1]


def change(project: Project, **keys: object) -> None:
    write_fleet(project, **managed(**keys))  # type: ignore[arg-type]
    project.commit()


def test_a_bare_host_gets_traefik_and_an_app_behind_it_in_one_pass(new_project: NewProject, own_bare: Machine) -> None:
    """The app waits for its Traefik; the plan says so beforehand, and a second pass does nothing."""
    project = new_project(own_bare)
    write_fleet(project, **managed())
    project.commit()

    plan, result = project.plan("--json"), project.once()

    verbs = ["install", "start", "wait", "enable", "install", "start", "wait", "cutover", "confirm"]
    assert [action["verb"] for app in plan.data for action in app["actions"]] == verbs
    assert (result.code, result.verbs) == (0, verbs), str(result)
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    with nothing_touched(own_bare):
        assert project.once().verbs == []
    rows = project.run("status", "--json").data
    assert [(row["app"], row["runs"], row["ready"]) for row in rows] == [
        ("traefik", NEWER, True),
        (project.app, "0.1.0", True),
    ]
    exposure = own_bare.run("systemd-analyze security traefik@8080 | tail -1").stdout
    assert float(re.findall(r"[0-9]+\.[0-9]", exposure)[0]) <= 1.5
    assert own_bare.run("stat -c '%a %U' /etc/reconcile/traefik/.certificate").stdout == "600 root\n"
    shown = ssl.get_server_certificate((own_bare.address, 443))
    assert own_bare.read("/etc/reconcile/traefik/.certificate").startswith(shown)
    complaints = own_bare.run("journalctl -u traefik@8080 -o cat | grep -E ' (ERR|FTL) '", check=False).stdout
    assert complaints == ""


def test_an_upgrade_and_a_changed_setting_under_load(edge: Project) -> None:
    """The new one starts beside the old, which finishes what is open: no request in flight fails, few others do."""
    edge.converge()
    with load_on(edge).running() as load:
        change(edge, version=NEWER)
        said = edge.plan().out
        upgrade = edge.once()
        change(edge, version=NEWER, idle_seconds=3)
        setting = edge.once()

    print(load.summary())
    assert (upgrade.code, setting.code) == (0, 0), f"{upgrade}{setting}"
    assert upgrade.verbs == ["install", "start", "wait", "enable", "stop"]
    assert setting.verbs == ["start", "wait", "enable", "stop"]
    assert f"version {OLDER} → {NEWER}" in said and "may get a 404" in said
    assert "env TRAEFIK_SERVERSTRANSPORT_FORWARDINGTIMEOUTS_IDLECONNTIMEOUT changed" in setting.err
    live_slot(edge)
    assert len(load.failures) <= MOST_FAILED_SHARE * len(load.samples), load.summary()
    assert [each for each in load.failures if each.stream == "slow" and each.seconds > 0.5] == [], load.summary()


def test_settings_that_traefik_cannot_start_with_are_rejected_and_the_old_one_serves(edge: Project) -> None:
    """The message quotes Traefik's own error; after a revert there is nothing to do."""
    change(edge, version=NEWER)
    edge.converge()
    before = live_slot(edge)

    change(edge, version=NEWER, https_port=22)
    result = edge.once()

    assert (result.code, result.verbs[-1]) == (1, "reject"), str(result)
    assert "address already in use" in result.err
    assert f"version {NEWER} still runs" in result.err
    assert live_slot(edge) == before
    assert edge.get() == (200, b"Hello from app 0.1.0\n")
    change(edge, version=NEWER)
    with nothing_touched(edge.machine):
        assert edge.once().verbs == []


def test_traefik_is_not_changed_while_its_folder_contains_a_broken_file(edge: Project) -> None:
    """A Traefik started now would answer 404 to everything: it is not started, and the message says why."""
    change(edge, version=NEWER)
    edge.converge()
    before = live_slot(edge)
    edge.machine.write("/etc/traefik/dynamic/broken.yml", "http: {routers: {\n")

    change(edge, version=NEWER, idle_seconds=2)
    result = edge.once()

    assert result.code == 1
    assert "does not serve every route" in result.err
    assert (live_slot(edge), edge.get()[0]) == (before, 200)
    edge.machine.run("rm /etc/traefik/dynamic/broken.yml")
    retried = edge.run("retry", "traefik")
    assert retried.code == 0, str(retried)
    assert live_slot(edge) != before


def test_traefik_serves_again_after_a_reboot(edge: Project) -> None:
    """With its routes, and no controller anywhere."""
    edge.converge()
    before = live_slot(edge)

    edge.machine.reboot()

    wait_for(lambda: edge.get()[0] == 200, 30, "it serves again")
    assert live_slot(edge) == before
    assert edge.once().verbs == []


def test_every_traefik_slot_can_read_the_password_file(edge: Project) -> None:
    """The one that serves, its successor and the one after a reboot; no other user of the host can read it."""
    hashed = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW"
    secret = {"RECONCILE_SECRET_EDGE_USERS": f"ann:{hashed}"}
    route = edge.keys["route"]
    before = live_slot(edge)

    edge.commit(route=route | {"basic_auth": {"secret": "edge/users"}})
    asked = edge.once(**secret)
    assert (asked.code, asked.verbs) == (0, ["cutover", "confirm"]), str(asked)
    assert (edge.get()[0], edge.get(user="ann:open sesame")[0]) == (401, 200)
    change(edge, version=NEWER, idle_seconds=4)
    followed = edge.once(**secret)
    assert (followed.code, live_slot(edge) != before) == (0, True), str(followed)
    assert (edge.get()[0], edge.get(user="ann:open sesame")[0]) == (401, 200)
    edge.machine.reboot()
    wait_for(lambda: edge.get(user="ann:open sesame")[0] == 200, 30, "it serves again")
    assert edge.get()[0] == 401
    assert seen_by_others(edge.machine, hashed, int(live_slot(edge))) == ""

    edge.converge(route=route)
    assert edge.get()[0] == 200
    assert seen_by_others(edge.machine, '"rule":"Host(', int(live_slot(edge))) != ""  # the API tells it, and is asked


def test_a_traefik_stopped_or_changed_by_hand_is_restored(edge: Project) -> None:
    """In one pass, and the app behind it is not touched."""
    edge.converge()
    port = live_slot(edge)

    edge.machine.run(f"systemctl stop traefik@{port}; rm /etc/traefik/dynamic/00-certificate.yml")
    result = edge.once()

    assert (result.code, result.verbs) == (0, ["start", "wait"]), str(result)
    assert edge.get() == (200, b"Hello from app 0.1.0\n")
    edge.machine.run("rm /etc/traefik/dynamic/00-certificate.yml")
    assert edge.once().verbs == ["repair"]


def test_a_traefik_that_does_not_answer_is_reported(edge: Project) -> None:
    edge.converge()
    port = live_slot(edge)
    edge.machine.run(f"systemctl stop traefik@{port}")

    rows = {row["app"]: row["because"] for row in edge.run("status", "--json").data}
    edge.once()

    assert rows["traefik"] == "start: not running"


def test_the_dashboard_is_served_through_the_ssh_connection(edge: Project) -> None:
    """On loopback at both ends; without `dashboard: true` it is off, and the error says so."""
    change(edge, version=NEWER)
    edge.converge()
    refused = edge.run("dashboard", edge.machine.name)
    assert (refused.code, "dashboard: true" in refused.err) == (1, True), str(refused)

    change(edge, version=NEWER, dashboard=True, metrics=True)
    edge.converge()
    ask = r"exec 3<>/dev/tcp/127.0.0.1/8082; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3"
    assert "traefik_config_reloads_total" in edge.machine.run(f"bash -c {shlex.quote(ask)}").stdout
    with pytest.raises(ConnectionRefusedError):  # not for the network
        socket.create_connection((edge.machine.address, 8082), timeout=10)
    words = edge.words("dashboard", edge.machine.name)
    for end in (signal.SIGINT, signal.SIGTERM):
        dashboard = subprocess.Popen(words, cwd=edge.folder, env=edge.environ, stdout=subprocess.PIPE, text=True)
        with killed_at_the_end(dashboard) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/dashboard/", address)
            assert port, address
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=10)
            connection.request("GET", "/dashboard/")
            assert connection.getresponse().status == 200
            connection.close()
            process.send_signal(end)
            assert process.wait(20) == 0


def test_a_traefik_without_version_is_released_and_goes_on_serving(edge: Project) -> None:
    """It stays unchanged in its slot; apps are still rolled out through it. It is removed with the last route."""
    edge.converge()
    write_fleet(edge)
    edge.commit()
    with nothing_touched(edge.machine):
        assert (edge.once().code, edge.plan().out) == (0, "nothing to do\n")
    edge.converge(version="0.2.0")
    assert edge.get() == (200, b"Hello from app 0.2.0\n")

    edge.converge(route=None)
    gone = edge.once("--allow-prune")

    assert gone.code == 0, str(gone)
    assert instances(edge) == []
    edge.keys["route"] = {"domains": [edge.domain], "tls": False}
    write_fleet(edge, **managed(OLDER))
    edge.converge(version="0.1.0")
