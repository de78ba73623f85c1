"""Logins: root, or a user who may become root."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts


def test_a_login_with_sudo_works_like_root(project: Project) -> None:
    """Install, upgrade and a quiet third pass over a login as `deploy`."""
    first, second = project.keys["ports"]
    project.converge(hosts=[f"deploy@{project.machine.name}"])
    assert project.running() == project.one_instance("0.1.0", first)

    project.converge(version="0.2.0")
    with nothing_touched(project.machine):
        assert project.once().verbs == []
    assert project.running() == project.one_instance("0.2.0", second)
    owners = project.machine.run(f"find /srv/{project.app} /etc/reconcile/{project.app} -printf '%u\\n' | sort -u")
    assert owners.stdout == "root\n"

    project.machine.run("hostname elsewhere")  # not in /etc/hosts: sudo warns at each call
    try:
        for status in (0, 1, 78):
            assert project.run("exec", project.app, "--", "sh", "-c", f"exit {status}").code == status
    finally:
        project.machine.run(f"hostname {project.machine.name}")


def test_a_user_without_sudo_is_refused_clearly(project: Project) -> None:
    """Nothing is touched, and the next step is named."""
    machine = project.machine
    machine.run("id -u guest 2>/dev/null || useradd --create-home --shell /bin/bash guest")
    machine.run("cp -r /home/deploy/.ssh /home/guest/ && chown -R guest: /home/guest/.ssh")
    project.commit(hosts=[f"guest@{machine.name}"])

    with nothing_touched(machine):
        result = project.once()

    host = f"guest@{machine.name}"
    assert (result.code, result.verbs) == (1, [])
    assert result.told == (
        f"host {host}: {project.app}: the user may not become root: sudo: a password is required\n"
        "  next: run reconcile bootstrap with a login that may, or allow this one sudo without a password (NOPASSWD)\n"
    )


@pytest.mark.parametrize(
    ("start_up", "cause"),
    [
        ("exec sh", "a start-up file of its login puts another shell in place of the one that runs our commands"),
        ("cat >/dev/null", "a start-up file of its login reads stdin, which is meant for our commands"),
    ],
)
def test_a_start_up_file_in_the_way_is_named(project: Project, start_up: str, cause: str) -> None:
    """Nothing is touched: least of all does another shell read what we send as commands."""
    machine = project.machine
    machine.run("id -u visitor 2>/dev/null || useradd --create-home --shell /bin/bash visitor")
    machine.run("cp -r /home/deploy/.ssh /home/visitor/ && chown -R visitor: /home/visitor/.ssh")
    machine.write("/home/visitor/.bashrc", f"{start_up}\n")
    project.commit(hosts=[f"visitor@{machine.name}"])

    with nothing_touched(machine):
        result = project.once()

    assert (result.code, result.verbs) == (1, [])
    assert result.told.startswith(f"host visitor@{machine.name}: {project.app}: {cause}\n  next: in ~/.bashrc")
