"""One writer per host: two controllers at once, and one that slept for longer than its lease."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts

SHORTEN = "sed -i 's/^\\([0-9]* [^ ]*\\) [0-9]* /\\1 0 /' /var/lib/reconcile/lease"  # as if its time were over


def starts(project: Project, port: int) -> int:
    """How often systemd started the slot's unit."""
    unit = f"{project.app}@{port}.service"
    return int(project.machine.run(f"journalctl -u {unit} -o cat | grep -c '^Started ' || :").stdout)


@contextmanager
def running(project: Project, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, under way; ended with the block."""
    process = subprocess.Popen(
        project.words(*words), cwd=project.folder, env=project.environ, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["event"] == event:
            return
    raise AssertionError(f"{event} never came")


def test_two_passes_at_once_make_one_rollout(new_project: NewProject, own: Machine) -> None:
    """The second waits for the lease, then finds everything done: one start, one entry of history."""
    project = new_project(own)
    project.converge()
    second = project.keys["ports"][1]
    project.commit(
        version="0.2.0", health={"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 2}
    )

    with running(project, "--once") as first:
        wait_for(first, "start.finished")
        metrics = project.folder / "reconcile.prom"
        result = project.once("--metrics-file", str(metrics))
        assert first.wait(30) == 0

    assert (result.code, result.verbs) == (0, [])
    assert "reconcile_lease_wait_seconds_count 1.0\n" in metrics.read_text()
    assert starts(project, second) == 1
    history = json.loads(project.run("history", project.app, "--json").out)
    assert [entry["to"] for entry in history] == ["0.1.0", "0.2.0"]
    assert project.running() == project.one_instance("0.2.0", second)


def test_without_wait_lock_the_second_pass_names_the_controller_that_has_the_host(
    new_project: NewProject, own: Machine
) -> None:
    project = new_project(own)
    project.converge()
    project.commit(
        version="0.2.0", health={"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 3}
    )

    with running(project, "--once") as first:
        wait_for(first, "start.finished")
        result = project.once("--wait-lock", "0")

    assert (result.code, result.verbs) == (1, [])
    assert f":{first.pid} is changing this host" in result.told


def test_a_controller_that_slept_through_its_lease_changes_nothing(new_project: NewProject, own: Machine) -> None:
    """Stopped in the middle of a rollout, continued when another has long gone on: its next action is refused."""
    project = new_project(own)
    project.converge()
    slow = {"path": "/ping", "healthy_within_seconds": 20, "minimum_healthy_seconds": 4}
    project.commit(version="0.2.0", health=slow)

    with running(project, "--once") as sleeper:
        wait_for(sleeper, "start.finished")
        sleeper.send_signal(signal.SIGSTOP)
        project.machine.run(SHORTEN)
        project.commit(version="0.1.0", health=slow)
        assert project.once().code == 0
        before = project.running()
        sleeper.send_signal(signal.SIGCONT)
        _, told = sleeper.communicate(timeout=60)

    assert sleeper.returncode == 1
    assert "changed this host since it was looked at" in told
    assert project.running() == before == project.one_instance("0.1.0", project.keys["ports"][0])


def test_a_stale_clone_never_reverts_a_newer_commit(new_project: NewProject, own: Machine, tmp_path: Path) -> None:
    """A second controller that has not pulled: neither the version nor an app that it does not know yet is undone."""
    project = new_project(own)
    project.converge()
    stale = replace(project, folder=tmp_path / "stale")
    shutil.copytree(project.folder, stale.folder)
    second = project.file.with_name("second.yaml")
    ports = [port + 50 for port in project.keys["ports"]]
    text = project.file.read_text().replace(f'{project.app}"', 'second"', 1).replace(project.domain, "second.test")
    second.write_text(text.replace(str(project.keys["ports"]), str(ports)))
    project.converge(version="0.2.0")

    result = stale.once("--allow-prune")

    assert (result.code, result.verbs) == (1, [])
    assert result.told.count("which was applied here, is not in this clone") == 2
    assert project.version_served == "0.2.0"
    assert project.once().code == 0
