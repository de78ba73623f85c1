"""Access to the node of the live slot: console, rpc, exec and crash dumps."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import usual_keys
from tests.hosts.stories.project import Project, command_environ, wait_for
from tests.support.child import killed_at_the_end
from tests.support.releases import build_release, elixir_missing
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.hosts

APP, OLD, LIVE = "talkative-app", 4900, 4901
NODE = f"talkative_app_{LIVE}@localhost"
ENV = {"TOKEN": {"secret": "token"}, "RELEASE_COOKIE": {"secret": "cookie"}}
DUMP = f"/var/lib/{APP}/erl_crash.{LIVE}.dump"


@pytest.fixture(scope="module")
def project(shared: Machine, ssh_home: Path, command_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The Elixir example with distribution, for all tests here, after one swap: 0.2.0 is live in the second slot."""
    if missing := elixir_missing():
        pytest.skip(missing)
    secrets = {"RECONCILE_SECRET_TOKEN": "s3cret", "RECONCILE_SECRET_COOKIE": "not-the-one-of-the-tarball"}
    environ = command_environ(ssh_home, command_cache) | secrets
    project = Project(tmp_path_factory.mktemp("node") / "project", APP, shared, environ)
    for version in ("0.1.0", "0.2.0"):
        project.add_artifact(build_release(version), version)
    project.write(
        **usual_keys(project, OLD) | {"start": "bin/my_application start", "distribution": "sname", "env": ENV}
    )
    project.converge()
    project.converge(version="0.2.0")
    return project


def test_a_console_is_iex_in_the_live_node(project: Project) -> None:
    """Typed into a terminal: it knows the window, Ctrl-C reaches IEx, and the terminal comes back as it was."""
    with at_a_terminal(project.words("console", APP), project.folder, project.environ) as person:
        before = person.settings
        person.sees(f"0.2.0 in slot {LIVE}, node {NODE}")
        person.sees(r"iex\(.*\)1>")
        person.types("1 + 1\r")
        person.sees(r"\n2\n")
        person.types("node()\r")
        person.sees(f"\n:{NODE}\n")
        person.types(":io.columns()\r")
        person.sees(r"\{:ok, 100\}")
        person.resizes(90, 20)
        wait_for(lambda: person.answers(":io.columns()\r", r"\{:ok, (\d+)\}") == "90", 40, "the window is 90 wide")
        person.types("\x03")
        person.sees("BREAK: .a.bort")
        person.types("a\r")
        assert person.ends() == 0
        assert person.settings == before
    assert project.version_served == "0.2.0"


def test_a_terminated_console_restores_the_terminal(project: Project) -> None:
    with at_a_terminal(project.words("console", APP), project.folder, project.environ) as person:
        before = person.settings
        person.sees(r"iex\(.*\)1>")
        assert person.settings != before
        os.kill(person.pid, signal.SIGTERM)
        assert person.ends() == 128 + signal.SIGTERM
        assert person.settings == before


def test_rpc_evaluates_in_the_live_node(project: Project) -> None:
    """Quotes and dollars arrive, secrets are masked, and its failure is our exit code."""
    said = project.run("rpc", APP, """IO.puts("#{node()} '$HOME' \\"%\\" #{System.get_env("TOKEN")}")""")
    assert (said.code, said.out) == (0, f"{NODE} '$HOME' \"%\" ***\n")

    failed = project.run("rpc", APP, "raise ~s(no such thing)")
    assert failed.code == 1
    assert "no such thing" in failed.err


def test_the_cookie_in_the_tarball_does_not_give_access_to_the_node(project: Project) -> None:
    """Anyone with the tarball knows that cookie; the node uses the secret one."""
    stranger = ["RELEASE_COOKIE=for-tests-only", "RELEASE_DISTRIBUTION=sname", "ERL_EPMD_PORT=14368"]
    words = ["env", *stranger, f"RELEASE_NODE={NODE}", "bin/my_application", "rpc", "1"]

    assert project.run("exec", APP, "--", *words).code == 1
    words[1] = "RELEASE_COOKIE=not-the-one-of-the-tarball"
    assert project.run("exec", APP, "--", *words).code == 0


def test_exec_streams_output_as_it_is_printed(project: Project) -> None:
    words = project.words("exec", APP, "--", "sh", "-c", "printf '50 %% '; printf $TOKEN; sleep 20")
    printing = subprocess.Popen(words, cwd=project.folder, env=project.environ, stdout=subprocess.PIPE)
    with killed_at_the_end(printing) as process:
        assert process.stdout is not None
        assert process.stdout.read(8) == b"50 % ***"
        assert process.poll() is None


def test_an_app_can_read_its_previous_release(project: Project) -> None:
    """Pages from before the swap ask for their own assets: the app finds them beside its own release."""
    code = 'System.get_env("RELEASE_ROOT") |> Path.join("../*/releases/start_erl.data") |> Path.wildcard() '
    said = project.run("rpc", APP, code + "|> Enum.map(&File.read!/1) |> Enum.each(&IO.puts/1)")

    assert [line.split()[-1] for line in said.out.splitlines()] == ["0.1.0", "0.2.0"]


def test_a_crash_dump_is_kept_and_reported(project: Project) -> None:
    """One small dump per slot, private to the app; it does not affect the pass."""
    machine = project.machine
    assert project.status()["crash_dumps"] == []
    project.run("rpc", APP, ":erlang.halt('out of bees')")
    wait_for(lambda: project.get("/ping")[0] == 200, 40, "systemd brings it back")

    assert machine.run(f"stat -c %a {DUMP}; sed -n 3p {DUMP}").stdout == "600\nSlogan: out of bees\n"
    (dump,) = project.status()["crash_dumps"]
    assert dump["path"] == DUMP
    shown = project.run("status")
    assert f"{machine.name}: {APP} crashed at 20" in shown.out
    assert f"see {DUMP}" in project.run("logs", APP, "--lines", "1").err
    assert project.once().verbs == []


def test_the_port_mapper_runs_only_while_an_app_needs_it(project: Project) -> None:
    """On loopback, in a sandbox, outliving the slot it came with; put back when changed, gone with its last user."""
    machine = project.machine
    listens = machine.run("grep -h ' 0A ' /proc/net/tcp /proc/net/tcp6 | awk '{print $2}'").stdout.split()
    loopback = ["0100007F", "00000000000000000000000001000000"]
    assert [address for address in listens if address.endswith(":3820")] == [f"{one}:3820" for one in loopback]
    exposure = machine.run("systemd-analyze security reconcile-epmd --no-pager | tail -1").stdout
    assert float(exposure.split(": ")[1].split()[0]) <= 1.5

    machine.run("echo '#' >>/etc/systemd/system/reconcile-epmd.service; systemctl stop reconcile-epmd")
    assert project.once().verbs == ["repair"]
    wait_for(lambda: project.run("rpc", APP, "1").code == 0, 30, "the node is found again")

    project.converge(distribution=None)
    left = machine.run("ls /srv/reconcile-epmd /etc/systemd/system/reconcile-epmd.service", check=False)
    assert (left.returncode, left.stdout) == (2, "")
    wait_for(lambda: "epmd" not in machine.run("cat /proc/[0-9]*/comm", check=False).stdout, 40, "epmd is gone")
    refused = project.run("rpc", APP, "1")
    assert refused.code == 2
    assert "next: write distribution: sname and env: {RELEASE_COOKIE: {secret: NAME}} in apps/" in refused.told
    assert project.once().verbs == []
