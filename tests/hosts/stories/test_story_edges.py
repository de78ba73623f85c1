"""Two edges spread visitors over two hosts: rollouts lose no request, whatever dies in the middle of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts.acme import https_get
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, Result, wait_for
from tests.support.certificates import made

pytestmark = pytest.mark.hosts


@dataclass(frozen=True)
class Place:
    """The machines of the story, and the app on them."""

    edges: list[Machine]
    hosts: list[Machine]
    project: Project

    def served_by(self, edge: Machine) -> list[str]:
        """The list in the route file of this edge."""
        head = edge.run(f"head -n 1 /etc/traefik/dynamic/{self.project.app}.yml").stdout.strip()
        return sorted(head.partition("servers=")[2].split(",")) if "servers=" in head else []

    def slots(self) -> dict[str, list[str]]:
        """The instances that run on each host."""
        found = {}
        for host in self.hosts:
            listed = host.run(f"systemctl list-units --plain --no-legend --state=active '{self.project.app}@*'").stdout
            found[host.name] = [line.split("@")[1].split(".")[0] for line in listed.splitlines()]
        return found

    @contextlib.contextmanager
    def loads(self, answer_within_seconds: float = 60) -> Iterator[list[Load]]:
        """100 requests a second through each edge, on kept and on new connections, and some that take long."""
        loads = [
            Load(
                Target(edge.address, self.project.domain),
                streams(),
                max_seconds=400,
                answer_within_seconds=answer_within_seconds,
            )
            for edge in self.edges
        ]
        with contextlib.ExitStack() as stack:
            for load in loads:
                stack.enter_context(load.running())
            yield loads
        for edge, load in zip(self.edges, loads, strict=True):
            print(f"through {edge.name}: {load.summary()}")


def streams() -> list[Stream]:
    return [
        Stream("GET kept", 25, "/"),
        Stream("GET new", 25, "/", keep_alive=False),
        Stream("POST kept", 25, "/echo", "POST", body=b"x" * 64),
        Stream("POST new", 25, "/echo", "POST", keep_alive=False, body=b"x" * 64),
        Stream("slow", 1, "/slow?seconds=3"),
    ]


@pytest.fixture
def place(new_project: NewProject, farm: Farm, machine_factory: MachineFactory) -> Iterator[Place]:
    edges = [machine_factory(f"lb{number}") for number in (1, 2)]
    hosts = [machine_factory(f"app{number}", with_traefik=False) for number in (1, 2)]
    for edge in edges:
        edge.run("sed -i 's/^entryPoints:/&\\n  websecure: {address: \":443\"}/' /etc/traefik/traefik.yml")
        edge.run("systemctl restart traefik")
    names = [host.name for host in hosts]
    project = new_project(hosts[0], hosts=names, drain_seconds=5)
    route = {"domains": [project.domain], "tls": False, "edges": [edge.name for edge in edges]}
    project.write(route=route)
    lines = [f"  {each.name}: {{address: {each.name}, private_address: {each.address}}}\n" for each in [*edges, *hosts]]
    (project.folder / "desired-state" / "fleet.yaml").write_text("hosts:\n" + "".join(lines))
    yield Place(edges, hosts, project)
    for machine in [*edges, *hosts]:
        farm.remove(machine)


def one_certificate(place: Place) -> None:
    """Both edges serve the one of a secret; it is replaced without a restart, put back, and taken away."""
    project, path = place.project, f"/etc/traefik/dynamic/{place.project.app}.pem"
    old, new = made(project.domain), made(project.domain, days=3)
    route = project.keys["route"]
    project.commit(route={**route, "tls": {"certificate": {"secret": "shop/pem"}}})

    def pass_with(pem: str) -> Result:
        return project.once("--verbose", RECONCILE_SECRET_SHOP_PEM=pem)

    traefiks = [edge.run("systemctl show -P InvocationID traefik").stdout for edge in place.edges]
    refused = pass_with(old.leaf + new.key)
    assert refused.code == 1
    assert "is not that of its certificate" in refused.told
    assert pass_with(old.pem).code == 0
    for edge in place.edges:
        assert https_get(edge, project.domain, root=old.root).status == 200
        assert edge.run(f"stat -c '%a %U' {path}").stdout == "640 root\n"
    place.edges[0].run(f"echo '# end' >{path}")
    back = pass_with(old.pem)
    assert (back.code, back.verbs[:1]) == (0, ["balance"])
    replaced = pass_with(new.pem)
    assert replaced.code == 0
    assert "the certificate in the secret shop/pem ends on" in replaced.told
    for edge in place.edges:
        assert https_get(edge, project.domain, root=new.root).status == 200
    assert traefiks == [edge.run("systemctl show -P InvocationID traefik").stdout for edge in place.edges]
    for text in (replaced.told, back.told, refused.told):
        assert not [line for line in (old.key + new.key).splitlines()[1:-1] if len(line) > 20 and line in text]
    project.converge(route=route)
    for edge in place.edges:
        assert edge.run(f"test -e {path}", check=False).returncode == 1


def test_visitors_of_two_edges_and_what_dies_while_they_come(place: Place) -> None:
    """A rollout; the controller, then the link to an edge lost in the middle of one; at last a host without power."""
    project, (lb1, lb2), (app1, app2) = place.project, place.edges, place.hosts
    ports = project.keys["ports"]
    project.converge()
    assert place.served_by(lb1) == place.served_by(lb2) == [f"app1:{ports[0]}", f"app2:{ports[0]}"]
    private = "".join(f"{int(part):02X}" for part in reversed(app1.address.split(".")))
    assert f"{private}:{ports[0]:04X} " in app1.run("cat /proc/net/tcp").stdout

    with place.loads() as loads:
        result = project.converge(version="0.2.0")
        assert result.verbs.count("balance") == 4
        assert project.once().verbs == []
        again = {"version": "0.1.0", "env": {"GREETING": "Hello again"}}

        project.commit(**again)
        project.killed_after("balance.finished")
        assert project.once().code == 0, "the next controller finishes"

        project.commit(version="0.2.0")
        project.killed_after("enable.finished")
        lb2.cut_link()
        cut = [max((each.at for each in load.samples), default=0.0) for load in loads]
        blocked = project.once()
        assert blocked.code == 1
        assert "its edge lb2 cannot follow" in blocked.told
        lb2.heal_link()
        healed = max(each.at for each in loads[0].samples)
        wait_for(lambda: project.once().code == 0, 60, "the edge is back, and takes the list")
    assert loads[0].failures == [], loads[0].summary()
    # Cut off, lb2 has found the app hosts down. Who waited there is told so, until its next check of them.
    others = [each for each in loads[1].failures if not (cut[1] - 4 < each.at < healed + 3 and each.status == 503)]
    assert others == [], f"before the cut and after it none is lost: {loads[1].summary()}"
    assert {name: len(slots) for name, slots in place.slots().items()} == {"app1": 1, "app2": 1}
    assert place.served_by(lb1) == place.served_by(lb2)

    one_certificate(place)
    with place.loads(answer_within_seconds=8) as loads:
        time.sleep(1)
        app2.power_off_hard()
        time.sleep(8)
    lost = [each for load in loads for each in load.failures]
    late = [each for each in lost if each.at > 1 + 5]
    count, last = sum(len(load.samples) for load in loads), max((each.at for each in lost), default=0)
    print(f"an app host without power: {len(lost)} of {count} requests failed, the last was sent at {last:.1f} s")
    assert late == [], "the edges leave it out by themselves"
    assert "app2" in project.run("status").out
