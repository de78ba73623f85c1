"""Whatever a login's start-up files, its environment and sudo do, our script runs as meant, or the cause is told."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import HostRefused
from reconciler.host.entry import entry_words, shell_line
from reconciler.host.local import LocalHost
from reconciler.host.transport import Command, Completed
from tests.support.ssh_server import SshServer

# Prints its environment but for what the shell itself sets, and then stdin.
SHOW = "unset PWD OLDPWD SHLVL _\nenv | sort\numask\npwd\ncat\nprintf '%s' \"$1\"\necho told >&2\nexit 3\n"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
ARGUMENT = "a\\\\nb \\' it's $HOME\n"
SHOWN = f"HOME={os.environ['HOME']}\nLC_ALL=C\nPATH={PATH}\n0022\n/\nthe data\n{ARGUMENT}"


def ran(command: Command, tmp_path: Path, startup: str = "", stdin: bytes = b"", **environment: str) -> Completed:
    """Run the command by SSH at a login whose shell is bash, with this start-up file."""
    file = tmp_path / "bashrc"
    file.write_text(startup)

    async def story() -> Completed:
        async with SshServer(
            shell=("bash",), environment={"BASH_ENV": str(file), "TMP_PATH": str(tmp_path), **environment}
        ).running() as server:
            host = server.host(needs_root="RECONCILE_PATH" in environment)
            try:
                return await host.run(command, stdin, 20)
            finally:
                await host.close()

    return asyncio.run(story())


@pytest.mark.parametrize(
    "startup",
    [
        "echo Welcome",
        r"printf '\033]0;web1\007'",
        "echo warning >&2; printf more >&2",
        "set -x",
        "trap 'echo bye' EXIT",
        "export POSIXLY_CORRECT=1 TAR_OPTIONS=--verbose LC_ALL=xx_YY.UTF-8 CDPATH=/ ENV=/x GREP_OPTIONS=-v",
        "umask 027; cd /tmp",
        'printf "#!/bin/sh\\nexit 7\\n" >"$TMP_PATH/cat"; chmod +x "$TMP_PATH/cat"; export PATH="$TMP_PATH:$PATH"',
        "PATH=",
        "shopt -s expand_aliases; alias sh=false env=false",
        "sh() { false; }; env() { false; }; printf() { false; }; export -f printf",
    ],
)
def test_a_start_up_file_changes_neither_environment_nor_output_nor_stdin(startup: str, tmp_path: Path) -> None:
    done = ran(Command(SHOW, (ARGUMENT,)), tmp_path, startup, b"the data\n")

    assert (done.status, done.stdout, done.stderr) == (3, SHOWN, "told\n")


def test_a_stream_that_a_start_up_file_closed_is_none_of_ours(tmp_path: Path) -> None:
    """Else a file that a program opens next would be its stderr."""
    done = ran(Command("readlink /proc/self/fd/2\nexit 3\n"), tmp_path, "exec 2>&-")

    assert (done.status, done.stdout) == (3, "/dev/null\n")


def test_a_limit_of_a_start_up_file_does_not_cut_what_we_write(tmp_path: Path) -> None:
    target = tmp_path / "written"
    done = ran(Command('head -c 3000000 /dev/zero >"$1"', (str(target),)), tmp_path, "ulimit -S -f 1")

    assert (done.status, target.stat().st_size) == (0, 3_000_000)


@pytest.mark.parametrize(
    ("startup", "says"),
    [
        ("exec sh", "a start-up file of its login puts another shell in place"),
        ("cat >/dev/null", "a start-up file of its login reads stdin"),
        ("cat", "a start-up file of its login reads stdin"),
        ("read line", "a start-up file of its login reads stdin"),
        ("yes", "wrote more than 16 MiB"),
        (
            "echo closed for repairs >&2; exit 4",
            "its login runs no command of ours: .* 4, and said: closed for repairs",
        ),
    ],
)
@pytest.mark.parametrize("stdin", [b"", b"touch harm\n" * 1000])
def test_a_start_up_file_in_the_way_is_named_and_nothing_of_ours_runs(
    startup: str, says: str, stdin: bytes, tmp_path: Path
) -> None:
    """Least of all stdin, as commands of a shell that a start-up file has started."""
    with pytest.raises(HostRefused, match=says) as caught:
        ran(Command("touch harm"), tmp_path, f"cd {shlex.quote(str(tmp_path))}\n{startup}", stdin)

    assert caught.value.next_step
    assert not (tmp_path / "harm").exists()


def test_a_command_that_reads_nothing_does_not_wait_for_its_first_line() -> None:
    """The line comes a round trip later, and such a command must not take it for its own input."""
    line = Command("cat; echo done").loading_line(False, frozenset(), fed=False)
    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        output = process.stdout.read()  # to its end, although stdin is still open
        process.stdin.close()

    assert output.endswith(b"done\n") and b"exit" not in output


def test_commands_with_and_without_stdin_take_turns_on_a_connection() -> None:
    """Only the first one without stdin waits for a line: it shows that no start-up file reads stdin."""

    async def story() -> list[str]:
        async with SshServer().running() as server:
            host = server.host()
            try:
                return [(await host.run(Command("cat; echo ."), data)).stdout for data in (b"", b"", b"more\n", b"")]
            finally:
                await host.close()

    assert asyncio.run(story()) == [".\n", ".\n", "more\n.\n", ".\n"]


def sudo(folder: Path, script: str) -> str:
    """A sudo that does this first. Returns the PATH with it."""
    program = folder / "bin/sudo"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n{script}\nexport TAR_OPTIONS=--verbose\numask 077\n[ "$1" != -n ] || shift\nexec "$@"\n'
    )
    program.chmod(0o755)
    return f"{program.parent}:{PATH}"


WARNS = "echo 'sudo: unable to resolve host elsewhere: Name or service not known' >&2"


@pytest.mark.parametrize("status", [1, 77, 78, 93, 94, 126, 127])
def test_the_exit_status_behind_a_warning_of_sudo_is_the_commands_own(status: int, tmp_path: Path) -> None:
    """Also one that says the same as sudo."""
    script = f"echo sudo: a password is required >&2\nexit {status}"

    done = ran(Command(script), tmp_path, RECONCILE_PATH=sudo(tmp_path, WARNS), LC_ALL="xx_YY.UTF-8")

    assert (done.status, done.stderr) == (status, "sudo: a password is required\n")


def test_what_sudo_adds_to_the_environment_does_not_reach_the_script(tmp_path: Path) -> None:
    path = sudo(tmp_path, WARNS)

    done = ran(Command(SHOW, (ARGUMENT,)), tmp_path, "", b"the data\n", RECONCILE_PATH=path)

    assert (done.status, done.stdout) == (3, SHOWN.replace(PATH, path))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'sudo: a password is required' >&2; exit 1", "may not become root: .*a password is required"),
        ("echo 'sudo: ein Kennwort ist notwendig' >&2; exit 1", "may not become root: .*ein Kennwort"),
        ("echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1", "sudo wants a terminal"),
        (
            "echo 'reconcile-host: made from scripts 0' >&2; exit 78",
            "another version of reconcile .made from scripts 0",
        ),
        ("echo 'reconcile-host: not a slot' >&2; exit 77", "refuses this: not a slot"),
    ],
)
def test_a_refusal_behind_other_warnings_is_told_as_what_it_is(script: str, says: str, tmp_path: Path) -> None:
    path = sudo(tmp_path, f"{WARNS}\n{script}")

    with pytest.raises(HostRefused, match=says) as caught:
        ran(Command("true"), tmp_path, "echo Welcome >&2", RECONCILE_PATH=path, LC_ALL="xx_YY.UTF-8")

    assert caught.value.next_step


def test_a_host_without_sudo_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match=r"the user may not become root: .*sudo"):
        ran(Command("true"), tmp_path, RECONCILE_PATH=str(tmp_path))


def test_output_that_is_streamed_begins_with_the_commands_own(tmp_path: Path) -> None:
    file = tmp_path / "bashrc"
    file.write_text("printf noise; sleep 0.1; printf noise")
    pieces = list[bytes]()

    async def story() -> None:
        async with SshServer(shell=("bash",), environment={"BASH_ENV": str(file)}).running() as server:
            host = server.host()
            await host.run(Command("printf told"), on_output=pieces.append)
            await host.close()

    asyncio.run(story())

    assert b"".join(pieces) == b"told"


def test_a_script_on_this_machine_has_an_environment_of_its_own_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    monkeypatch.delenv("TERM", raising=False)

    done = asyncio.run(LocalHost("local", needs_root=False).run(Command(SHOW, (ARGUMENT,)), b"the data\n"))

    assert (done.status, done.stdout) == (3, SHOWN)


def read_by_fish(line: str) -> list[str]:
    """The words of a line, as fish reads what we write: quotes, and backslashes inside of them and outside."""
    words, word, quoted, characters = list[str](), "", False, iter(line)
    for character in characters:
        if character == "'":
            quoted = not quoted
        elif character == "\\":
            following = next(characters)
            word += following if not quoted or following in "\\'" else f"\\{following}"
        elif character == " " and not quoted:
            words.append(word)
            word = ""
        else:
            word += character
    return [*words, word]


@given(st.lists(st.text(st.sampled_from("ab\\'\"$ \n!*~%=#"), max_size=8), min_size=1))
def test_every_shell_reads_the_same_words(words: list[str]) -> None:
    line = shell_line(words)

    assert shlex.split(line) == read_by_fish(line) == ["exec", *words]


def test_the_entry_is_sound_sh() -> None:
    """Of each way: as root, by sudo, and by the host's own program."""
    from tests.tools.test_shell import warnings

    for sudo, verb in ((False, None), (True, None), (True, ("look", "0"))):
        for text in (word for word in entry_words("true", (), sudo=sudo, verb=verb) if "\n" in word):
            assert warnings(text, "--shell=sh", "--exclude=SC2164") == "", text
