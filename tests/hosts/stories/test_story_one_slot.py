"""One port or none: the running version is stopped first, and started again if the new one is bad."""

from __future__ import annotations

import re
import time

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched, wait_for
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts

HELD = ["hold", "confirm", "drain"]
GIVEN_BACK = ["wait", "cutover", "confirm", "unhold"]
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
    assert result.verbs == ["install", *HELD, "start", "wait", "cutover", "confirm", "unhold"]
    assert project.get() == (200, b"Hello from app 0.2.0\n")
    assert project.running() == project.one_instance("0.2.0", port)


def test_with_one_port_visitors_wait_until_the_new_version_is_healthy(one_port: Project) -> None:
    """It answers 503 for its first three seconds, which no visitor sees, and no request is lost."""
    project = one_port
    project.converge()
    project.add_artifact(small_release("0.2.0", warm_up_seconds=3), "0.2.0")
    project.commit(version="0.2.0")

    with visitors(project, slow=False) as load:
        result = project.once()

    assert result.code == 0, str(result)
    assert project.version_served == "0.2.0"
    assert max(sample.seconds for sample in load.samples) > 3, load.summary()
    project.machine.run(f"! ls /etc/systemd/system/reconcile-hold-{project.app}.*")


def test_visitors_get_through_without_a_controller(new_project: NewProject, own: Machine) -> None:
    """It dies while they wait: once the minute is over, the host lets them through, and after a reboot at once."""
    project = new_project(own)
    project.write(ports=project.keys["ports"][:1])
    project.converge()
    project.commit(version="0.2.0")

    assert project.killed_after("start.finished").count("hold.finished") == 1
    project.machine.run(f"read -r over _ </proc/uptime; echo $((${{over%.*}} + 3)) >/run/reconcile/{project.app}/hold")
    began = time.monotonic()
    assert project.get() == (200, b"Hello from app 0.2.0\n")
    assert time.monotonic() - began > 1

    project.machine.reboot()
    wait_for(lambda: project.get()[0] == 200, 30, "the last version is served")
    assert project.version_served == "0.1.0"
    assert project.converge().verbs[-2:] == ["confirm", "unhold"]
    assert project.once().verbs == []


def test_a_bad_release_on_one_port_is_replaced_by_the_previous_version(one_port: Project) -> None:
    """Version and env come back by themselves, in the same pass; the next pass leaves them alone."""
    project = one_port
    (port,) = project.keys["ports"]
    project.converge()
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0", env={"GREETING": "Bonjour", "EXTRA": "1"})

    result = project.once()

    assert (result.code, result.verbs) == (1, ["install", *HELD, "start", "wait", "reject", *GIVEN_BACK])
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

    assert (result.code, result.verbs) == (1, [*HELD, "start", "wait", "reject", *GIVEN_BACK])
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
