"""`exec`, migrations and slots share one sandbox: what works in one works in all."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.tools.scripts import plain_script
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for
from tests.hosts.stories.stoppable import stoppable
from tests.support.child import killed_at_the_end
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.hosts

STATUS = "grep -E '^(NoNewPrivs|Seccomp|Seccomp_filters|CapBnd|CapAmb):' /proc/self/status"
INTERFACES = "console.log(Object.keys(require('os').networkInterfaces()).join(' '))"


@pytest.fixture
def node(new_project: NewProject) -> Project:
    tarball, start = stoppable("node")
    project = new_project(start=start, sandbox={"write_execute_memory": True})
    project.add_artifact(tarball, "0.1.0")
    return project


def test_interfaces_can_be_listed_in_the_slot_and_in_exec(node: Project) -> None:
    """getifaddrs needs netlink: without it `next start`, `serve` and others end at once."""
    project = node
    project.converge()

    assert project.get("/interfaces")[1].split()[0] == b"lo"
    said = project.run("exec", project.app, "--", "bin/node", "-e", INTERFACES)
    assert (said.code, said.out.split()[0]) == (0, "lo")


def test_exec_and_migrations_have_the_restrictions_of_the_slot(project: Project) -> None:
    """Seen from inside, and the filters counted by the kernel."""
    project.converge(migrate=f'sh -c "{STATUS} >$STATE_DIRECTORY/migrated"')
    unit = f"{project.app}@{project.keys['ports'][0]}"
    pid = project.machine.run(f"systemctl show -P MainPID {unit}").stdout.strip()
    slot = project.machine.run(STATUS.replace("self", pid)).stdout

    said = project.run("exec", project.app, "--", "sh", "-c", STATUS)

    assert said.out == slot
    assert project.machine.read(f"/var/lib/private/{project.app}/migrated") == slot


def test_exec_refuses_what_the_slot_refuses(node: Project) -> None:
    """Writable and executable memory, for Node in a slot that does not allow it."""
    project = node
    project.commit(sandbox=None)
    refused = project.once()
    assert (refused.code, refused.verbs) == (1, [])
    assert "starts with bin/node, which needs memory that it can write and execute" in refused.told
    project.commit(start="sh -c 'exec bin/node server.js'")
    failed = project.once()
    assert failed.code == 1
    assert "its log says that it needs memory that it can write and execute: write sandbox: {write_exec" in failed.told

    project.add_artifact(stoppable("perl")[0], "0.2.0")
    project.converge(version="0.2.0", start="perl app.pl")
    binary = f"/srv/{project.app}/releases/{project.release_id('0.1.0')}/bin/node"

    assert project.run("exec", project.app, "--", binary, "-e", "1").code != 0
    project.converge(sandbox={"write_execute_memory": True})
    assert project.run("exec", project.app, "--", binary, "-e", "1").code == 0


def test_no_user_of_the_host_can_read_the_arguments_of_exec(project: Project) -> None:
    """Neither in the properties of a unit nor in the arguments of what starts it; its exit code comes back."""
    project.converge()
    words = ["env", "WORD=let-me-hide; 'quoted' $x", "sleep", "4711"]
    shown = "systemctl show '*' --property=ExecStart,Environment,Description; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    words = project.words("exec", project.app, "--", *words)
    with killed_at_the_end(subprocess.Popen(words, cwd=project.folder, env=project.environ)) as process:
        wait_for(lambda: project.machine.run("pgrep -f 'sleep 4711$'", check=False).stdout, 20, "it runs")
        seen = project.machine.run(shown).stdout
        project.machine.run("systemctl daemon-reload; pkill -f 'sleep 4711$'")
        process.wait(20)

    assert "let-me-hide" not in seen
    assert project.run("exec", project.app, "--", "sh", "-c", "exit 7").code == 7


def test_exec_has_the_terminal_that_it_is_started_from(project: Project) -> None:
    """As `manage.py createsuperuser` needs it: a question, an answer that is not shown, and the exit code."""
    project.converge()
    ask = 'stty -echo; printf "password? "; read -r word; stty echo; echo; echo "got $word in $(stty size)"; exit 7'
    words = project.words("exec", project.app, "--", "env", "WORD=let-me-hide", "sh", "-c", ask)
    with at_a_terminal(words, project.folder, project.environ) as me:
        before = me.settings
        me.sees(r"password\? ")
        seen = project.machine.run(
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; systemctl show 'run-*' -p ExecStart"
        ).stdout
        me.types("let-me-in\r")
        me.sees(r"\ngot let-me-in in 30 100")
        assert (me.ends(), me.settings) == (7, before)

    assert me.shown.count("let-me-in") == 1
    assert "let-me-hide" not in seen
    assert project.machine.run("ls /run/reconcile-exec").stdout == ""


def test_a_command_of_a_candidate_runs_with_what_is_wanted(project: Project) -> None:
    """The version and the env of the commit, in the sandbox of its unit, before any of it serves."""
    project.converge()
    project.commit(version="0.2.0", env={"GREETING": "wanted"})
    ask = 'echo "$GREETING in $(pwd)"; grep NoNewPrivs /proc/self/status; echo x >/srv/x; exit 7'
    folder = f"/srv/{project.app}/releases/{project.release_id('0.2.0')}"
    before = project.running()

    said = project.run("exec", project.app, "--candidate", "--", "sh", "-c", ask)

    assert (said.code, said.out) == (7, f"wanted in {folder}\nNoNewPrivs:\t1\n"), str(said)
    assert "Read-only file system" in said.told
    assert project.running() == before
    live = project.run("exec", project.app, "--", "sh", "-c", 'echo "$GREETING in $(pwd)"').out
    assert live.startswith("Hello in ")
    words = project.words("exec", "--candidate", project.app, "--", "sh", "-c", "stty size; exit 3")
    with at_a_terminal(words, project.folder, project.environ) as me:
        me.sees(r"30 100")
        assert me.ends() == 3
    assert project.machine.run("ls /run/reconcile-exec; systemctl list-units -q 'reconcile-exec*'").stdout == ""
    assert project.once().code == 0


def test_a_command_that_never_got_its_terminal_does_not_stay(project: Project) -> None:
    """The link may die between the two steps: the host itself takes away what was kept, after minutes."""
    project.converge()
    keep = project.machine.run(f"sh -s <<'END'\n{plain_script('exec_keep', 'system').text}\nEND\n").stdout.strip()

    timer = f"reconcile-exec-end-{keep}"
    assert "true" in project.machine.run(f"systemctl is-active -q {timer}.timer && echo true").stdout
    project.machine.run(f"systemctl start {timer}.service; systemctl stop {timer}.timer")
    assert project.machine.run("ls /run/reconcile-exec").stdout == ""
