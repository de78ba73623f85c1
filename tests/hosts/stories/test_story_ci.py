"""In CI each job has its own clone: an old job never reverts a host, and removed apps stay removed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts


@pytest.fixture
def pushed(new_project: NewProject, own: Machine) -> Project:
    """A repository whose app was rolled out in 0.1.0 and then in 0.2.0; each commit is tagged with its version."""
    project = new_project(own)
    for version in ("0.1.0", "0.2.0"):
        project.converge(version=version)
        project.git("tag", version)
    return project


def job(project: Project, *words: str) -> Project:
    """A job with a fresh clone, made with these words, and the artifacts."""
    folder = project.folder.with_name(f"job{len(list(project.folder.parent.iterdir()))}")
    command = ["git", "clone", "-q", *words, f"file://{project.folder}", str(folder)]
    subprocess.run(command, env=project.environ, check=True, capture_output=True)
    Path(folder / "build").symlink_to(project.folder / "build")
    environ = {**project.environ, "CI": "true"}
    return replace(project, folder=folder, environ=environ)


def test_rerunning_an_old_job_with_a_shallow_clone_changes_nothing(pushed: Project) -> None:
    """The error shows how to fetch the history; status works, and says what it cannot know."""
    old = job(pushed, "--depth=1", "--branch=0.1.0")

    with nothing_touched(pushed.machine):
        result = old.once()
        plan = old.plan()

    assert result.code == 2
    assert "is a shallow clone" in result.told
    assert "fetch-depth: 0" in result.told
    assert "is a shallow clone" in plan.told
    assert pushed.status()["runs"] == "0.2.0"


def test_rerunning_an_old_job_with_full_history_is_refused(pushed: Project) -> None:
    old = job(pushed, "--branch=0.1.0")

    result = old.once()

    assert (result.code, result.verbs) == (1, [])
    assert "is older than" in result.told
    assert pushed.status()["runs"] == "0.2.0"


def test_a_shallow_clone_rolls_out_nothing(new_project: NewProject, own: Machine) -> None:
    """Not even the first time. With full history it works, and an app whose file is deleted is removed."""
    project = new_project(own)
    project.commit()
    project.commit(env={"GREETING": "second"})

    first = job(project, "--depth=1").once()
    assert (first.code, first.verbs) == (2, [])

    assert job(project).once().code == 0
    project.git("mv", str(project.file), str(project.file.with_name("successor.yaml")))
    gone, project.app = project.app, "successor"
    project.commit(app="successor", ports=[4900, 4901], artifact={"source": f"../build/{gone}-{{version}}.tar.gz"})
    result = job(project).once("--allow-prune")
    assert result.code == 0, str(result)
    assert own.run(f"ls /srv /etc/traefik/dynamic | grep {gone} || :").stdout == ""


def test_the_operator_can_allow_a_pass_without_history_which_removes_nothing(pushed: Project) -> None:
    latest = job(pushed, "--depth=1")

    result = latest.once("--allow-step-back")

    assert result.code == 0, str(result)
    assert "removes nothing unless" in result.told
    assert latest.plan().code == 0
