"""A start command whose program the release does not have is found before the instance that serves is stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciler.tools.start_command import as_one_program, start_program
from tests.support.failing_host import FailingHost
from tests.tools.test_failing_commands import APP, NEW, OLD, SLOT, UNIT, files, install_folder, start


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("bin/hello start", "bin/hello"),
        ("./hello", "hello"),
        ("exec bin/hello", "bin/hello"),
        ("env LANG=C.UTF-8 'A B=c' bin/hello", None),
        ("env LANG=C.UTF-8 PORT=$PORT ./bin/hello --x", "bin/hello"),
        ("LANG=C bin/hello", "bin/hello"),
        ("sh -c 'while sleep 1; do :; done'", None),  # the host's
        ("/usr/bin/python3 app.py", None),
        ("env -i bin/hello", None),
        ("$HOME/bin/x", None),
        ("bin/../x", None),
        ("bin/it's", None),
        ("exec", None),
        ("bin/$NAME start", None),
    ],
)
def test_the_program_of_a_start_command_is_known_where_it_is_in_the_release(command: str, program: str | None) -> None:
    assert start_program(command) == program


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo $PORT", "4000"),
        ("GREETING='good day' sh -c 'echo $GREETING'", "good day"),
        ("exec echo $PORT", "4000"),
        (" A=1 B=$PORT sh -c 'echo $A $B'", "1 4000"),
        ("env A=1 sh -c 'echo $A'", "1"),
        ("executable=$PORT sh -c 'echo $executable'", "4000"),
        ("cd / && pwd", "/"),
        ("umask 027; umask", "0027"),
        ("X=1; echo $PORT;", "4000"),
        (". /dev/null && GREETING='a b; c' sh -c 'echo \"$GREETING\"' 2>&1", "a b; c"),
        ("while :; do echo ${PORT}; break; done", "4000"),
        ("if true; then echo yes; fi", "yes"),
        ("(cd / && pwd)", "/"),
        ("{ cd /; pwd; }", "/"),
        ("true && echo a | cat", "a"),
        ("false || echo rescued", ""),  # `exec` takes it, and what follows never runs
        ("echo 'a && b' \"c; d\" e\\;f", "a && b c; d e;f"),
        ("echo $(true; echo x) `true; echo y`", "x y"),
    ],
)
def test_a_start_command_may_be_whatever_a_shell_takes(command: str, says: str) -> None:
    """As the unit runs it, by one `exec`."""
    script = 'eval "exec $RECONCILE_START"'
    environ = {"PATH": "/usr/bin:/bin", "PORT": "4000", "RECONCILE_START": as_one_program(command)}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=False)

    assert (done.stdout.removesuffix("\n"), done.stderr) == (says, "")


@pytest.mark.parametrize(
    "command",
    [
        "bin/app",
        "LANG=C bin/app",
        "cd . && bin/app",
        "umask 027; ulimit -n 64; LANG=C bin/app 2>&1",
        "export A='b; c' && bin/app",
        "true && exec bin/app",
    ],
)
def test_the_app_itself_is_the_main_process(tmp_path: Path, command: str) -> None:
    """It gets the SIGTERM that systemd sends to the main process alone, whatever shell was in front of it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/app").write_text("#!/bin/sh\necho $$\n")
    (tmp_path / "bin/app").chmod(0o755)
    environ = {"PATH": "/usr/bin:/bin", "RECONCILE_START": as_one_program(command)}
    with subprocess.Popen(
        ["sh", "-c", 'eval "exec $RECONCILE_START"'], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.communicate()[0] == f"{shell.pid}\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo", "a b c"),
        ("cd / && echo", "a b c"),
        ("cd / && A=1 printf '<%s>'", "<a b><c>"),
        ("for x in 1; do echo $x; done", "1"),
    ],
)
def test_arguments_of_a_job_reach_its_last_command(command: str, says: str) -> None:
    script = "eval \"exec $RECONCILE_JOB 'a b' c\""
    environ = {"PATH": "/usr/bin:/bin", "RECONCILE_JOB": as_one_program(command, takes_arguments=True)}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=False)

    assert (done.stdout.removesuffix("\n"), done.stderr) == (says, "")


def test_a_missing_program_is_refused_while_the_old_instance_runs(tmp_path: Path) -> None:
    host = FailingHost(tmp_path)
    host.make()
    install_folder(host)
    start(OLD, SLOT)(host)
    running = host.invocation(UNIT)

    missing = host.run("start", APP, SLOT, NEW, running, "-", stdin=files(host, NEW, program="bin/none\n"))

    assert (missing.status, missing.stderr.strip()) == (
        1,
        f"{NEW} has no bin/none: correct start: in apps/{APP}.yaml, or the archive",
    )
    assert host.invocation(UNIT) == running != ""
    there = host.run("start", APP, SLOT, NEW, running, "-", stdin=files(host, NEW, program="erts-1/bin/epmd\n"))
    assert there.status == 0
    assert host.invocation(UNIT) != running


def test_the_program_is_looked_for_in_the_copy_that_replaced_a_damaged_release(tmp_path: Path) -> None:
    """The damaged folder is gone, and the release is in another: a change of its env goes on as before."""
    host = FailingHost(tmp_path)
    host.make()
    install_folder(host)
    releases = host.path(f"releases/{APP}/releases")
    (releases / NEW).rename(releases / f"{NEW}~2")

    ended = host.run("start", APP, SLOT, NEW, "", "-", stdin=files(host, NEW, program="erts-1/bin/epmd\n"))

    assert (ended.status, ended.stderr) == (0, "")
