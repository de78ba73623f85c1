"""Staging and production from one repository, side by side: neither touches what is the other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, yaml

pytestmark = pytest.mark.hosts

STAGING = ("--environment", "staging")


def write_staging(project: Project, app: dict[str, Any] | None, *, on_same_host: bool = True) -> None:
    """environments/staging.yaml with the app as it differs there, or without any app.

    On the same host it names that, so that a pass looks there when no app is left.
    """
    file = project.folder / "desired-state" / "environments" / "staging.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    apps = {project.app: app} if app is not None else {}
    hosts = {project.machine.name: {"address": project.machine.name}} if on_same_host else {}
    named = f"hosts: {yaml(hosts)}\n" if hosts else ""
    file.write_text(f"{named}apps: {yaml(apps)}\n", encoding="utf-8")


def served(project: Project, name: str, address: str = "") -> str:
    """The version that visitors of this app get, on the project's host or on another one."""
    machine = project.machine
    there = Project(Path(), name, machine, {})
    if address:
        there.machine = type("Other", (), {"address": address})()
    return there.version_served


def test_on_one_host_each_has_an_app_of_its_own(new_project: NewProject) -> None:
    """The name, the ports and the domain differ. What staging drops is removed, and production is not touched."""
    project = new_project()
    name = f"stg-{project.app}"
    ports = [port + 500 for port in project.keys["ports"]]
    write_staging(
        project, {"app": name, "version": "0.2.0", "ports": ports, "route": {"domains": [f"{name}.test"], "tls": False}}
    )
    project.converge()
    before = project.running()

    assert project.once(*STAGING).code == 0

    assert (served(project, project.app), served(project, name)) == ("0.1.0", "0.2.0")
    assert project.running() == before
    assert (project.plan().code, project.plan(*STAGING).code, project.once().verbs) == (0, 0, [])
    owners = [
        project.machine.run(f"cat /var/lib/reconcile/{each}/owner").stdout.strip() for each in (project.app, name)
    ]
    assert owners[1] == f"{owners[0]}.staging"

    promoted = project.run("set", project.app, "--from", "staging")
    assert promoted.code == 0, str(promoted)
    project.git("commit", "-qam", "promote")
    assert project.once(*STAGING).verbs == []
    assert (project.once().code, served(project, project.app)) == (0, "0.2.0")

    write_staging(project, None)
    project.commit()
    after = project.running()
    assert project.once(*STAGING, "--allow-prune").verbs[-1:] == ["remove"]
    assert served(project, name) != "0.2.0"
    assert (project.running(), project.once().verbs) == (after, [])


def test_on_two_hosts_the_same_app_runs_in_both(new_project: NewProject, own: Machine) -> None:
    """It has one name, and each environment its host and version. A commit for one is nothing to the other."""
    project = new_project()
    differs = {"version": "0.2.0", "hosts": [own.name]}
    write_staging(project, differs, on_same_host=False)
    project.converge()

    assert project.once(*STAGING).code == 0
    rows = [
        (row["host"], row["runs"]) for words in ((), STAGING) for row in project.run("status", *words, "--json").data
    ]
    assert rows == [(project.machine.name, "0.1.0"), (own.name, "0.2.0")]
    assert served(project, project.app, own.address) == "0.2.0"

    write_staging(project, {**differs, "env": {"GREETING": "Try"}}, on_same_host=False)
    project.commit()
    assert (project.once().verbs, project.plan(*STAGING).code) == ([], 3)
    assert project.once(*STAGING).code == 0
    history = project.run("history", project.app, *STAGING, "--json").data
    assert [(entry["host"], entry["to"]) for entry in history] == [(own.name, "0.2.0"), (own.name, "0.2.0")]
