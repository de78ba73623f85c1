"""The watch: commits, drift, a fix in the middle of a bad rollout, and its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project
from tests.hosts.watching import Watching, watching

pytestmark = pytest.mark.hosts


def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for it; how long it took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begin


def watched(project: Project, *words: str) -> AbstractContextManager[Watching]:
    return watching(project.words("--interval", "2", *words), project.folder, project.environ)


@pytest.fixture
def project(new_project: NewProject, own: Machine) -> Project:
    project = new_project(own)
    project.converge()
    return project


def test_a_commit_is_rolled_out_without_waiting_for_the_timer(project: Project) -> None:
    """Long before the timer, also when it was saved a while before; how soon is measured by the bench."""
    with watched(project, "--interval", "60") as watch:
        time.sleep(2)  # its first pass finds nothing to do and says nothing: there is no event to wait for
        project.write(version="0.2.0")
        until(lambda: "desired_state.noted" in watch.names(), 20, "the saved file is seen, and not used")
        project.commit()
        until(lambda: "install.finished" in watch.names(), 20, "the first action")
        until(lambda: project.version_served == "0.2.0", 20, "0.2.0 serves")
        until(lambda: "pass.finished" in watch.names(), 30, "the pass ends")

    assert watch.process.returncode == 0
    assert project.running() == project.one_instance("0.2.0", project.keys["ports"][1])


def test_a_deleted_route_file_is_restored_by_the_next_timed_pass(project: Project) -> None:
    with watched(project):
        project.machine.run(f"rm /etc/traefik/dynamic/{project.app}.yml")
        until(lambda: project.get()[0] == 404, 20, "the route is gone")
        until(lambda: project.get()[0] == 200, 20, "the route is back")


def test_a_fix_is_live_without_waiting_for_the_bad_rollout(project: Project) -> None:
    """The bad one would have been waited for two minutes."""
    patient = {"path": "/ping", "healthy_within_seconds": 120, "minimum_healthy_seconds": 0}
    with watched(project) as watch:
        project.commit(version="0.2.0", env={"NEVER_HEALTHY": "1"}, health=patient)
        until(lambda: "start.finished" in watch.names(), 30, "the bad one is started")
        project.commit(env={"GREETING": "Fixed"})
        seconds = until(lambda: project.version_served == "0.2.0", 30, "the fix serves")

    assert seconds < 20
    assert project.get()[1].startswith(b"Fixed")


def test_an_invalid_commit_changes_nothing_until_it_is_corrected(project: Project) -> None:
    with watched(project) as watch:
        good = project.file.read_text()
        project.file.write_text(good.replace("version:", "verison:"))
        project.git("commit", "-qam", "typo")
        until(lambda: "desired_state.refused" in watch.names(), 30, "it is refused")
        project.machine.run(f"rm /etc/traefik/dynamic/{project.app}.yml")
        time.sleep(5)  # two timers: nothing may happen, so there is nothing to wait for
        assert project.get()[0] == 404
        project.file.write_text(good)
        project.git("commit", "-qam", "typo corrected")
        until(lambda: project.get()[0] == 200, 30, "healed again")


def test_a_watch_stopped_in_a_rollout_releases_its_lease(project: Project) -> None:
    """SIGTERM ends a wait at once; the next pass need not wait for the lease."""
    patient = {"path": "/ping", "healthy_within_seconds": 120, "minimum_healthy_seconds": 0}
    with watched(project) as watch:
        project.commit(version="0.2.0", env={"NEVER_HEALTHY": "1"}, health=patient)
        until(lambda: "start.finished" in watch.names(), 30, "the bad one is started")
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(10) == 0

    project.commit(env={"GREETING": "Fixed"})
    assert project.once("--wait-lock", "0").code == 0
