"""One port or none: the running version is stopped first, and started again if the new one is bad."""

from __future__ import annotations

import re

import pytest

from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts

DOWNTIME = "stop-first, only one slot: no service until it is healthy"


@pytest.fixture
def one_port(new_project: NewProject) -> Project:
    project = new_project()
    project.write(ports=project.keys["ports"][:1])
    return project


@pytest.fixture
def worker(new_project: NewProject) -> Project:
    """No port, no route, no health path."""
    return new_project(ports=None, route=None, health=None, start="bin/app work")


def test_an_app_with_one_port_is_stopped_first_and_the_plan_says_so(one_port: Project) -> None:
    """The downtime has a name in the plan; afterwards the new version serves from the same port."""
    project = one_port
    (port,) = project.keys["ports"]
    project.converge()
    project.commit(version="0.2.0")

    plan = project.plan()
    result = project.converge()

    assert f"version 0.1.0 → 0.2.0; {DOWNTIME}\n" in plan.out
    assert result.verbs == ["install", "start", "wait", "cutover"]
    assert project.get() == (200, b"Hello from app 0.2.0\n")
    assert project.running() == project.one_instance("0.2.0", port)


def test_with_one_port_visitors_wait_while_the_versions_change(one_port: Project) -> None:
    """Traefik holds new requests for some seconds. Only requests open in the app when it is stopped may fail."""
    project = one_port
    project.converge()
    project.commit(version="0.2.0")

    with visitors(project, slow=False, may_fail=4):
        result = project.once()

    assert result.code == 0, str(result)
    assert project.version_served == "0.2.0"


def test_a_bad_release_on_one_port_is_replaced_by_the_previous_version(one_port: Project) -> None:
    """Version and env come back by themselves, in the same pass; the next pass leaves them alone."""
    project = one_port
    (port,) = project.keys["ports"]
    project.converge()
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0", env={"GREETING": "Bonjour", "EXTRA": "1"})

    result = project.once()

    assert (result.code, result.verbs) == (1, ["install", "start", "wait", "reject"])
    assert re.search(r"version 0.2.0 failed here: it exited \d times\n  version 0.1.0 still runs\n", result.told)
    assert "  | app 0.2.0: cannot reach the database\n" in result.told
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.get("/env/EXTRA")[0] == 404
    assert project.running() == project.one_instance("0.1.0", port)
    with nothing_touched(project.machine):
        assert project.once().code == 1


def test_a_bad_variable_on_one_port_is_replaced_by_the_previous_env(one_port: Project) -> None:
    """The same release with the env it had serves again; the right env then gets through."""
    project = one_port
    project.converge()
    project.commit(env={"GREETING": "Bonjour", "FAIL_BOOT": "1"})

    result = project.once()

    assert (result.code, result.verbs) == (1, ["start", "wait", "reject"])
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    project.converge(env={"GREETING": "Bonjour"})
    assert project.get() == (200, b"Bonjour from app 0.1.0\n")


def test_a_worker_runs_without_port_or_route(worker: Project) -> None:
    """It is enabled once it has run for long enough; a new version replaces it, with the downtime in the plan."""
    project = worker
    first = project.converge()
    assert first.verbs == ["install", "start", "wait", "enable"]
    assert project.running() == project.one_instance("0.1.0", "worker")

    project.commit(version="0.2.0")
    assert DOWNTIME in project.plan().out
    assert project.converge().verbs == ["install", "start", "wait", "enable"]
    assert project.running() == project.one_instance("0.2.0", "worker")
    with nothing_touched(project.machine):
        assert project.once().verbs == []


def test_a_worker_that_keeps_crashing_is_rejected(worker: Project) -> None:
    """The previous version goes on working; the log's tail is shown, without what that one said in the same slot."""
    project = worker
    project.converge(start="sh -c 'trap \"echo good-bye; exit 0\" TERM; bin/app work & wait'")
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0", start="bin/app work")

    result = project.once()

    assert (result.code, result.verbs) == (1, ["install", "start", "wait", "reject"])
    assert re.search(r"version 0.2.0 failed here: it exited \d times\n  version 0.1.0 still runs\n", result.told)
    tail = [line for line in result.told.splitlines() if line.startswith("  | ")]
    assert set(tail) == {"  | app 0.2.0: no queue to work on"}, str(result)
    assert project.running() == project.one_instance("0.1.0", "worker")
    with nothing_touched(project.machine):
        assert project.once().code == 1


def test_a_bad_first_version_leaves_nothing_running(worker: Project) -> None:
    """There is no previous version: nothing runs, and the message says so."""
    project = worker
    project.add_artifact(small_release("0.1.0", fail_boot=True), "0.1.0")
    project.commit()

    result = project.once()

    assert (result.code, result.verbs) == (1, ["install", "start", "wait", "reject"])
    assert "still runs" not in result.told
    assert project.running() == {}
