"""An Elixir release as `mix release` makes it: its defaults suit it, its sandbox holds, its log is at hand."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts


def test_an_elixir_release_runs_in_its_sandbox(elixir_project: Project) -> None:
    """It migrates by `eval`, serves at an exposure of 1.5 or lower, opens no other port, and its log can be read."""
    project = elixir_project
    port = project.keys["ports"][0]
    project.converge(migrate='bin/my_application eval "MyApplication.Release.migrate()"')

    unit = f"{project.app}@{port}"
    assert project.get() == (200, b"Hello from my_application 0.1.0\n")
    assert project.machine.read(f"/var/lib/private/{project.app}/migrations").startswith("0.1.0 20")
    exposure = project.machine.run(f"systemd-analyze security {unit} --no-pager | tail -1").stdout
    assert float(exposure.split(": ")[1].split()[0]) <= 1.5
    assert project.machine.run("cat /proc/[0-9]*/comm | grep -c epmd || :").stdout == "0\n"

    logs = project.run("logs", project.app)
    assert logs.code == 0
    assert f"my_application 0.1.0 listens on 127.0.0.1:{port}" in logs.out
    assert logs.err == ""
