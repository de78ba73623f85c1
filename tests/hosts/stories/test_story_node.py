"""Talking to the node of the live slot: a console in a terminal, rpc, and what a crash leaves behind."""

from __future__ import annotations

import os
import signal

import pytest

from tests.hosts.stories.project import Project, wait_for
from tests.hosts.stories.terminal import at_a_terminal

pytestmark = pytest.mark.hosts

SECRET = "s3cret-c00kie"


@pytest.fixture
def project(elixir_project: Project) -> Project:
    elixir_project.write(distribution="sname", env={"GREETING": "Hello", "TOKEN": {"secret": "token"}})
    elixir_project.environ["RECONCILE_SECRET_TOKEN"] = SECRET
    return elixir_project


def test_a_console_is_iex_in_the_live_node(project: Project) -> None:
    """Typed into a terminal: it knows the window, Ctrl-C reaches IEx, and the terminal comes back as it was."""
    project.converge()
    project.converge(version="0.2.0")
    live = project.keys["ports"][1]
    node = f"{project.app.replace('-', '_')}_{live}@localhost"

    with at_a_terminal(project.words("console", project.app), project.folder, project.environ) as person:
        before = person.settings
        person.sees(f"0.2.0 in slot {live}, node {node}")
        person.sees(r"iex\(.*\)1>")
        person.types("1 + 1\r")
        person.sees(r"\n2\n")
        person.types("node()\r")
        person.sees(f"\n:{node}\n")
        person.types(":io.columns()\r")
        person.sees(r"\{:ok, 100\}")
        person.resizes(90, 20)
        person.types(":io.columns()\r")
        person.sees(r"\{:ok, 90\}")
        person.types("\x03")
        person.sees("BREAK: .a.bort")
        person.types("a\r")
        assert person.ends() == 0
        assert person.settings == before
    assert project.version_served == "0.2.0"


def test_a_killed_console_gives_the_terminal_back(project: Project) -> None:
    project.converge()

    with at_a_terminal(project.words("console", project.app), project.folder, project.environ) as person:
        before = person.settings
        person.sees(r"iex\(.*\)1>")
        assert person.settings != before
        os.kill(person.pid, signal.SIGTERM)
        assert person.ends() == 128 + signal.SIGTERM
        assert person.settings == before


def test_rpc_evaluates_in_the_live_node(project: Project) -> None:
    """Quotes and dollars arrive; what it prints comes as it is printed, secrets masked; its failure is ours."""
    project.converge()
    port = project.keys["ports"][0]

    said = project.run("rpc", project.app, """IO.puts("#{node()} '$HOME' \\"%\\" #{System.get_env("TOKEN")}")""")
    assert (said.code, said.out) == (0, f"{project.app.replace('-', '_')}_{port}@localhost '$HOME' \"%\" ***\n")

    failed = project.run("rpc", project.app, "raise ~s(no such thing)")
    assert failed.code == 1
    assert "no such thing" in failed.err


def test_without_distribution_a_console_says_what_to_write(project: Project) -> None:
    project.converge(distribution=None)

    refused = project.run("rpc", project.app, "1")
    assert refused.code == 2
    assert refused.told.endswith(
        f"next: write distribution: sname in apps/{project.app}.yaml and commit it, which is one rollout\n"
    )


def test_the_port_mapper_is_there_only_while_somebody_needs_it(project: Project) -> None:
    """On loopback, in a sandbox, outliving the slot it came with; put back by us, and gone with the last user."""
    project.converge()
    machine = project.machine
    project.converge(version="0.2.0")

    sockets = machine.run("grep -h ' 0A ' /proc/net/tcp /proc/net/tcp6 | awk '{print $2}'").stdout.split()
    assert [address for address in sockets if address.endswith(":3820")] == ["0100007F:3820"]  # 14368
    exposure = machine.run("systemd-analyze security reconcile-epmd --no-pager | tail -1").stdout
    assert float(exposure.split(": ")[1].split()[0]) <= 1.5
    machine.run("echo '#' >>/etc/systemd/system/reconcile-epmd.service")
    assert "repair" in project.once().verbs
    machine.run("systemctl stop reconcile-epmd")
    wait_for(lambda: project.run("rpc", project.app, "1").code == 0, 20, "the node is found again")

    project.converge(distribution=None)
    gone = machine.run(
        "ls /srv/reconcile-epmd /etc/systemd/system/reconcile-epmd.service; systemctl is-active reconcile-epmd",
        check=False,
    )
    assert gone.stdout == "inactive\n"
    assert project.once().verbs == []
