"""`paths` of fleet.yaml must be dedicated folders: one with foreign files is neither locked down nor written to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, yaml

pytestmark = pytest.mark.hosts

SHARED = """\
mkdir -p /opt/shared/tools /opt/private /opt/empty
echo precious >/opt/shared/tools/file
echo precious >/opt/private/file
chmod 0755 /opt/shared && chmod 0700 /opt/private
ln -sfn /opt/shared /opt/link
"""
WHAT_LIES = "find /opt/shared /opt/private -printf '%p %m %u %y\\n' | sort"


@pytest.fixture
def project(new_project: NewProject, own: Machine) -> Project:
    """A worker on a host that root logs in to, with folders of somebody else's below /opt."""
    own.run(SHARED)
    return new_project(own, route=None, ports=None, health=None, drain_seconds=None)


def paths(project: Project, **paths: Any) -> None:
    """Commit a fleet.yaml with these folders for the host."""
    name = project.machine.name
    fleet = {"hosts": {name: {"address": name, "paths": paths}}}
    file = project.folder / "desired-state/fleet.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{key}: {yaml(value)}\n" for key, value in fleet.items()))
    project.commit()


@pytest.mark.parametrize("key", ["env", "state"])
@pytest.mark.parametrize("folder", ["/opt/shared", "/opt/private", "/opt/link"])
def test_a_folder_with_foreign_files_is_refused(project: Project, key: str, folder: str) -> None:
    """On a host with nothing of ours yet, and by a later commit; whatever its mode."""
    before = project.machine.run(WHAT_LIES).stdout
    paths(project, **{key: folder})

    first = project.once()
    again = project.once()
    assert (first.code, again.code) == (1, 1), f"{first}{again}"
    assert f"paths.{key}: {folder} is there and not reconcile's" in first.told

    paths(project)
    assert project.once().code == 0
    paths(project, **{key: folder})
    later = project.once()
    assert later.code == 1, str(later)
    if key == "env":  # with another state nothing there is known to be ours, and that is said
        assert f"paths.{key}: {folder} is there and not reconcile's" in later.told
    assert project.machine.run(WHAT_LIES).stdout == before


def test_empty_and_missing_folders_are_taken_and_stay_ours(project: Project) -> None:
    """Empty ones and ones not there yet; at the next change they are known."""
    paths(project, env="/opt/empty", state="/opt/new/state")

    assert project.once().code == 0
    assert project.once().verbs == []
    project.commit(env={"GREETING": "again"})
    result = project.once()
    assert result.code == 0, str(result)
    modes = project.machine.run("stat -c %a /opt/empty /opt/new/state").stdout.split()
    assert modes == ["700", "700"]
