"""Fixtures of the stories: a project on a shared host, or on a host of its own that may be broken."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.project import Project, command_environ
from tests.hosts.stories.small_release import small_release
from tests.support.releases import build_release, elixir_missing

SHARED = "stories"
# One call for all: each unit is an instance or a job of the app, or waits for one of its connections.
END_UNITS = """\
while read -r app; do
  set -- $(systemctl list-units --all --plain --no-legend "$app@*" "$app-*" "reconcile-hold-$app.*" | cut -d' ' -f1)
  [ $# = 0 ] || systemctl --quiet disable "$@" 2>/dev/null || :
  [ $# = 0 ] || systemctl kill --signal=SIGKILL "$@" 2>/dev/null || :
  [ $# = 0 ] || systemctl stop "$@" || :
done
"""

_numbers = itertools.count(1)


def end_units(projects: Collection[Project]) -> None:
    """End every unit of these projects' apps, which are all on one host, now and for its next boot."""
    if projects:
        apps = "".join(f"{project.app}\n" for project in projects)
        next(iter(projects)).machine.run(END_UNITS, stdin=apps.encode())


class NewProject(Protocol):
    def __call__(self, machine: Machine | None = None, *, stays: bool = False, **keys: Any) -> Project:
        """A project with a small app in versions 0.1.0 and 0.2.0, written but not committed.

        If it `stays`, its app runs on after the test; the caller ends it.
        """


@pytest.fixture(scope="session")
def shared(machine_factory: MachineFactory) -> Machine:
    """The host of the stories that leave it whole: each has an app and ports of its own."""
    return machine_factory(SHARED)


@pytest.fixture
def own(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host with Traefik for one test alone."""
    machine = machine_factory(f"own{next(_numbers)}")
    yield machine
    farm.remove(machine)


@pytest.fixture
def own_bare(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host without Traefik for one test alone."""
    machine = machine_factory(f"bare{next(_numbers)}", with_traefik=False)
    yield machine
    farm.remove(machine)


@pytest.fixture(scope="session")
def command_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XDG_CACHE_HOME of the command line: one for all, so that a tarball is judged once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def new_project(
    request: pytest.FixtureRequest, ssh_home: Path, command_cache: Path, tmp_path: Path
) -> Iterator[NewProject]:
    """Makes projects. After the test no unit of theirs runs on the shared host, nor after a reboot of it.

    An app that goes on restarting there would change the host while another test says that nothing does.
    """
    made: list[Project] = []

    def make(machine: Machine | None = None, *, stays: bool = False, **keys: Any) -> Project:
        machine = machine or request.getfixturevalue("shared")
        number = next(_numbers)
        project = Project(
            tmp_path / f"project{number}", f"small-{number}", machine, command_environ(ssh_home, command_cache)
        )
        for version in ("0.1.0", "0.2.0"):
            project.add_artifact(small_release(version), version)
        project.write(**(usual_keys(project, 4000 + 2 * number) | keys))
        made.extend([] if stays else [project])
        return project

    yield make
    end_units([project for project in made if project.machine.name == SHARED])


def usual_keys(project: Project, port: int) -> dict[str, Any]:
    return {
        "app": project.app,
        "version": "0.1.0",
        "artifact": {"source": f"../build/{project.app}-{{version}}.tar.gz"},
        "hosts": [project.machine.name],
        "ports": [port, port + 1],
        "start": "bin/app start",
        "env": {"GREETING": "Hello"},
        "health": {"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 0},
        "route": {"domains": [project.domain], "tls": False},
        "drain_seconds": 1,
    }


@pytest.fixture
def project(new_project: NewProject) -> Project:
    """A small app on the shared host."""
    return new_project()


@pytest.fixture
def elixir_project(new_project: NewProject) -> Project:
    """The Elixir example in versions 0.1.0 and 0.2.0, on the shared host."""
    if missing := elixir_missing():
        pytest.skip(missing)
    project = new_project(start="bin/my_application start")
    for version in ("0.1.0", "0.2.0"):
        project.add_artifact(build_release(version), version)
    return project
