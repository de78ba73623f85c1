"""Two edges that read their routes from an etcd of three members: members, links and an edge are lost meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import wait_for
from tests.hosts.stories.test_story_edges import Place
from tests.support.etcd import CLIENTS, PEERS, skip_without_etcd

pytestmark = pytest.mark.hosts

UNIT = """\
[Service]
ExecStart=/usr/local/bin/etcd --name {name} --data-dir /var/lib/etcd --initial-cluster {together} \
--listen-client-urls http://{address}:{clients} --advertise-client-urls http://{address}:{clients} \
--listen-peer-urls http://{address}:{peers} --initial-advertise-peer-urls http://{address}:{peers}
Restart=always
"""


def start_etcd(machines: list[Machine]) -> list[str]:
    """One member on each machine. Returns their endpoints when they answer."""
    together = ",".join(f"{each.name}=http://{each.address}:{PEERS}" for each in machines)
    program = Path(shutil.which("etcd") or "").read_bytes()
    for each in machines:
        each.write("/usr/local/bin/etcd", program, 0o755)
        unit = UNIT.format(name=each.name, address=each.address, together=together, clients=CLIENTS, peers=PEERS)
        each.write("/etc/systemd/system/member.service", unit)
        each.run("mkdir -p -m 700 /var/lib/etcd && systemctl start --no-block member")
    for each in machines:
        wait_for(lambda each=each: answers(each), 30, f"etcd on {each.name}")  # type: ignore[misc]
    return [f"http://{each.address}:{CLIENTS}" for each in machines]


def ask(machine: Machine, address: str, port: int, request: str, host: str = "x") -> str:
    """Ask by HTTP from a machine; the guests have no curl."""
    lines = f"GET {request} HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n"
    talk = f"exec 3<>/dev/tcp/{address}/{port} && printf '{lines}' >&3 && cat <&3"
    return machine.run(f'bash -c "{talk}"', check=False).stdout


def answers(member: Machine) -> bool:
    return '"true"' in ask(member, member.address, CLIENTS, "/health")


@pytest.fixture
def place(new_project: NewProject, farm: Farm, machine_factory: MachineFactory) -> Iterator[Place]:
    skip_without_etcd()
    edges = [machine_factory(f"lb{number}") for number in (1, 2)]
    hosts = [machine_factory(f"app{number}", with_traefik=False) for number in (1, 2)]
    endpoints = start_etcd([edges[0], *hosts])
    bare = ", ".join(endpoint.removeprefix("http://") for endpoint in endpoints)
    for edge in edges:
        edge.run(f"sed -i 's/^providers:/providers:\\n  etcd: {{endpoints: [{bare}]}}/' /etc/traefik/traefik.yml")
        edge.run("systemctl restart traefik")
    project = new_project(hosts[0], hosts=[host.name for host in hosts], drain_seconds=5)
    project.write(route={"domains": [project.domain], "tls": False, "edges": [edge.name for edge in edges]})
    fleet = f"traefik:\n  routes: etcd\n  etcd: {{endpoints: [{', '.join(endpoints)}]}}\nhosts:\n" + "".join(
        f"  {each.name}: {{address: {each.name}, private_address: {each.address}}}\n" for each in [*edges, *hosts]
    )
    (project.folder / "desired-state" / "fleet.yaml").write_text(fleet)
    yield Place(edges, hosts, project)
    for machine in [*edges, *hosts]:
        farm.remove(machine)


def routers(edge: Machine) -> str:
    return ask(edge, "127.0.0.1", 8080, "/api/rawdata")


def test_edges_agree_by_etcd_whatever_of_it_is_lost(place: Place) -> None:
    """A rollout, a killed controller, a lost member, all of etcd lost, and an edge that boots without it."""
    project, (lb1, lb2), (app1, app2) = place.project, place.edges, place.hosts
    project.converge()
    assert f'"{project.app}@etcd"' in routers(lb1) and f'"{project.app}@etcd"' in routers(lb2)

    with place.loads() as loads:
        project.converge(version="0.2.0")
        assert project.once().verbs == []

        project.commit(version="0.1.0", env={"GREETING": "Hello again"})
        project.killed_after("balance.finished")
        lb1.run("systemctl stop member")  # one of three
        assert project.once().code == 0

        app1.run("systemctl stop member")  # no majority is left
        project.commit(version="0.2.0")
        waits = project.once()
        assert waits.code == 1
        assert "no member of etcd answers" in waits.told and "what serves goes on serving" in waits.told
        app1.run("systemctl start member")
        wait_for(lambda: project.once().code == 0, 60, "etcd has a majority again")
        wait_for(lambda: project.once().verbs == [], 30, "nothing is left to do")
    for edge, load in zip(place.edges, loads, strict=True):
        assert load.failures == [], f"{edge.name}: {load.summary()}"

    for each in (app1, app2):
        each.run("systemctl stop member")
    lb2.reboot()
    wait_for(
        lambda: "0.2.0" in ask(lb2, lb2.address, 80, "/version", project.domain),
        30,
        "an edge that boots without etcd serves its last routes",
    )
    for each in (lb1, app1, app2):
        each.run("systemctl start member")
    wait_for(lambda: project.once().code == 0, 90, "all of it is back")
    project.converge(route=None)
    assert project.app not in routers(lb1)
