"""e: an app that listens where Traefik's API would be is not asked, not believed, and holds nobody up.

A Traefik of ours has two slots, and the port of the idle one is there for everybody. All of this on a real host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.hosts.break_out.squatter import http, squatting
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.managed import managed, write_fleet
from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts

IDLE = 8081


@dataclass(frozen=True)
class Try:
    """What the squatter on Traefik's idle API port answers."""

    name: str
    answer: bytes = field(default=b"", repr=False)
    how: str = "answer"

    def __str__(self) -> str:
        return self.name


MARKER = b'{"services": {"SMALL@file": {}, "SMALL-route-4000-aaaaaaaaaaaa@file": {}}, "routers": {"SMALL@file": '
TRIES = [
    Try("an empty object", http(b"{}")),
    Try("routers that are a number", http(b'{"routers":5}')),
    Try("a list within lists, without end", http(b"[" * 200_000)),
    Try("an object within objects, without end", http(b'{"a":' * 200_000)),
    Try("a number of many digits", http(b"9" * 1_000_000)),
    Try("that the app has no route", http(b'{"routers": {}, "services": {}}')),
    Try("that the app has another route", http(MARKER + b'{"status": "enabled"}}}')),
    Try("that the router is disabled", http(MARKER + b'{"status": "disabled", "error": ["\x1b[2Jconverged"]}}}')),
    Try("no HTTP", b"@@app ../../../etc\n@@end\n"),
    Try("another status", http(b"{}", "503 Away")),
    Try("a page", http(b"<html>traefik</html>")),
    Try("nothing, for ever", how="keep"),
    Try("without end", how="drip"),
]


@pytest.fixture(scope="module")
def bare(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("api", with_traefik=False)
    yield machine
    farm.remove(machine)


@pytest.fixture(scope="module")
def _kept() -> dict[str, Project]:
    return {}


@pytest.fixture
def edge(new_project: NewProject, bare: Machine, _kept: dict[str, Project]) -> Project:
    """An app behind a Traefik of ours."""
    if "edge" not in _kept:
        project = new_project(bare, health={"path": "/ping", "healthy_within_seconds": 5, "minimum_healthy_seconds": 0})
        write_fleet(project, **managed())
        project.converge()
        _kept["edge"] = project
    return _kept["edge"]


@pytest.mark.parametrize("each", TRIES, ids=str)
def test_answers_of_an_api_squatter_do_not_disturb_rollouts(edge: Project, each: Try) -> None:
    """The new version is live, is confirmed by Traefik itself, and nothing the squatter says is repeated."""
    other = {"0.1.0": "0.2.0", "0.2.0": "0.1.0"}[edge.keys["version"]]
    answer = each.answer.replace(b"SMALL", edge.app.encode())
    with squatting(edge.machine, IDLE, answer=answer, how=each.how) as squatter:
        squatter.wait_until_it_has(IDLE)
        edge.commit(version=other)
        rolled, status = edge.once(), edge.run("status")

    assert (rolled.code, rolled.verbs[-3:]) == (0, ["confirm", "drain", "stop"]), str(rolled)
    assert edge.version_served == other
    assert status.code == 0 and "\x1b" not in rolled.err + status.out
    assert rolled.seconds < 20, str(rolled)


def test_a_route_on_the_entry_point_of_the_api_is_refused(edge: Project) -> None:
    """a: it would take the API from reconcile, and answer in its place. Nothing is touched."""
    before = edge.file.read_text()
    edge.write(route={"tcp": {"entry_point": "traefik"}})

    refused = edge.run("validate", "--working-tree")

    edge.file.write_text(before)
    assert refused.code == 2
    assert "the entry point of Traefik's own API" in refused.err
