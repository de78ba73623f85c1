"""Twenty apps on one host: its sshd lets only so many sessions into one connection, and all of them converge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, yaml

pytestmark = pytest.mark.hosts

APPS = 20


@pytest.fixture(params=[None, 2], ids=["stock", "two"])
def sshd(request: pytest.FixtureRequest, own: Machine) -> Machine:
    """A host, its sshd as it is installed or with fewer sessions."""
    if request.param:
        own.write("/etc/ssh/sshd_config.d/10-sessions.conf", f"MaxSessions {request.param}\n")
        own.run("systemctl reload ssh")
    return own


def twenty(project: Project) -> list[Project]:
    """Each of the apps in the project's one repository."""
    apps = []
    for number in range(APPS):
        app, ports = f"many-{number:02}", [5000 + 2 * number, 5001 + 2 * number]
        one = replace(project, app=app, keys=dict(project.keys))
        one.write(app=app, ports=ports, env=None, route={"domains": [one.domain], "tls": False})
        apps.append(one)
    project.file.unlink()
    return apps


def commit(project: Project, greeting: str) -> None:
    """A greeting that all apps have in common."""
    fleet = project.folder / "desired-state" / "fleet.yaml"
    fleet.write_text(f"defaults: {yaml({'env': {'GREETING': greeting}})}\n")
    project.commit()


@contextlib.contextmanager
def visitors(apps: list[Project]) -> Iterator[None]:
    """A request a second to each of them; none may fail."""
    streams = [Stream("GET", 1, keep_alive=False)]
    loads = [Load(Target(app.machine.address, app.domain), streams) for app in apps]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load.running())
        yield
    assert all(load.samples for load in loads)
    failed = [load.summary() for load in loads if load.failures or load.ended_early]
    assert not failed, "\n".join(failed)


def greetings(apps: list[Project]) -> set[bytes]:
    return {app.get()[1].partition(b" from ")[0] for app in apps}


def test_twenty_apps_are_rolled_out_and_all_changed_at_once(new_project: NewProject, sshd: Machine) -> None:
    """The first rollout, then one change of all apps: exit 0 each time, and no request fails."""
    project = new_project(sshd)
    apps = twenty(project)
    commit(project, "Hello")

    first = project.once()
    assert first.code == 0, str(first)
    assert greetings(apps) == {b"Hello"}

    commit(project, "Good day")
    with visitors(apps):
        second = project.once()
    assert second.code == 0, str(second)
    assert greetings(apps) == {b"Good day"}
