"""`reconcile secrets` as a person types it; no output contains the value of a secret."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from reconciler.secrets.identities import find_keys
from reconciler.secrets.sealed import Recipient, readers_of, seal, unseal
from reconciler.tools.masks import forms_of
from tests.support.child import killed_at_the_end
from tests.support.forked import reconcile
from tests.support.sops_files import sops_file

ANNA, BOX = (pyrage.x25519.Identity.generate() for _ in range(2))
RECIPIENTS = tuple(Recipient(str(each.to_public()), name) for each, name in ((ANNA, "anna"), (BOX, "box")))
PLANTED = "pl4nted $\"\\`'value% ü"
MANY_LINES = "-----BEGIN KEY-----\npl4ntedMIIB+/=$x\nsecond 'line'\n-----END KEY-----\n"
REPOSITORY = Path(__file__).resolve().parents[2]


class Person:
    """A person with a private key, and a desired state whose `secrets/recipients.txt` names them and a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        (self.home / ".config/sops/age").mkdir(parents=True)
        keys = self.home / ".config/sops/age/keys.txt"
        keys.write_text(f"{ANNA}\n")
        keys.chmod(0o600)
        self.write("apps/hello.yaml", HELLO)
        self.write("secrets/recipients.txt", recipients_text(*RECIPIENTS))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "PYTHONPATH": str(REPOSITORY),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
        }
        (self.folder / "run").mkdir(mode=0o700)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / "desired-state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reconciler.cli", *words]

    def run(self, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return reconcile(words, self.folder, {**self.environ, **environ}, stdin=stdin)

    def secrets(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("secrets", *words, **more)

    def value(self, name: str) -> bytes:
        path = self.folder / "desired-state/secrets" / f"{name}.age"
        return unseal(path.read_bytes(), find_keys(self.environ), name)

    @property
    def left_behind(self) -> list[str]:
        return [path.name for path in (self.folder / "run").iterdir()]


HELLO = """\
app: hello
version: "1"
artifact: {source: ../x.tar.gz}
hosts: [somebody@127.0.0.1:1]
ports: [4000, 4001]
env: {KEY: {secret: hello/key}}
"""


def recipients_text(*recipients: Recipient) -> str:
    return "".join(f"# {each.name}\n{each.key}\n" for each in recipients)


@pytest.fixture
def anna(tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.mark.parametrize("value", [PLANTED, MANY_LINES, "  spaces  ", "x" * 100_000])
def test_set_encrypts_stdin_for_every_recipient(anna: Person, value: str) -> None:
    done = anna.secrets("set", "hello/key", stdin=value if value.endswith("\n") else f"{value}\n")

    assert (done.returncode, anna.value("hello/key")) == (0, value.encode())
    assert done.stdout == (
        "desired-state/secrets/hello/key.age: for anna, box\nnext: git add desired-state/secrets && git commit\n"
    )
    text = (anna.folder / "desired-state/secrets/hello/key.age").read_bytes()
    assert readers_of(text).listed == RECIPIENTS
    assert unseal(text, find_keys({"SOPS_AGE_KEY": str(BOX)}), "") == value.encode()


def test_set_in_a_terminal_asks_twice_and_shows_nothing(anna: Person) -> None:
    shown, status = in_terminal(anna, ["secrets", "set", "hello/key"], b"pl4nted\n", b"pl4nted\n")

    assert (status, anna.value("hello/key")) == (0, b"pl4nted")
    assert b"pl4nted" not in shown
    shown, status = in_terminal(anna, ["secrets", "set", "hello/key"], b"pl4nted\n", b"another\n")
    assert status == 2
    assert b"two values differ" in shown


def in_terminal(person: Person, words: list[str], *typed: bytes) -> tuple[bytes, int]:
    """Type each line when a prompt appears; return what the terminal showed and the exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(person.folder)
        os.execve(sys.executable, person.words(*words), person.environ)
    shown, waiting = b"", list(typed)
    while select.select([terminal], [], [], 60)[0]:
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break
        shown += block
        if waiting and shown.count(b": ") > len(typed) - len(waiting):  # a prompt that was not answered yet
            os.write(terminal, waiting.pop(0))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return shown, status


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("set", "../key"), "x", "is not the name of a secret"),
        (("set", "hello/key"), "", "the value is empty"),
        (("set", "hello/key"), "a\0b", "NUL character"),
        (("set", "prod/db"), "x", "prod/db is in the SOPS file desired-state/secrets/prod.yaml"),
        (("edit", "prod/db"), "", "prod/db is in the SOPS file desired-state/secrets/prod.yaml"),
        (("set", "hello/key", "--ref", "main"), "x", "changes local files"),
        (("set",), "x", "NAME"),
        ((), "x", "VERB"),
    ],
)
def test_an_invalid_set_is_refused_and_nothing_is_written(
    anna: Person, words: tuple[str, ...], stdin: str, said: str
) -> None:
    anna.write("secrets/prod.yaml", sops_file({"db": "x"}, [RECIPIENTS[0].key]))

    done = anna.secrets(*words, stdin=stdin)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not (anna.folder / "desired-state/secrets/hello").exists()


def test_without_recipients_the_error_shows_how_to_add_the_first_one(anna: Person) -> None:
    (anna.folder / "desired-state/secrets/recipients.txt").unlink()

    done = anna.secrets("set", "hello/key", stdin="x")

    assert (done.returncode, done.stdout) == (2, "")
    assert "recipients.txt lists no recipient\nnext: cat ~/.ssh/id_ed25519.pub >>" in done.stderr


def editor(anna: Person, script: str) -> str:
    path = anna.folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_edit_opens_the_value_in_a_private_file_that_is_gone_afterwards(anna: Person) -> None:
    """Also when the editor leaves copies beside it, or fails; an unchanged value is not written anew."""
    anna.secrets("set", "hello/key", stdin=PLANTED)
    sealed = (anna.folder / "desired-state/secrets/hello/key.age").read_bytes()
    look = 'cp "$1" "$1~"; stat -c "%a" "$1" "$(dirname "$1")"; cat "$1"'

    done = anna.secrets("edit", "hello/key", EDITOR=editor(anna, look))
    assert done.stdout.splitlines() == ["600", "700", f"{PLANTED}hello/key was not changed"]
    failed = anna.secrets("edit", "hello/key", EDITOR=editor(anna, 'echo changed >"$1"; exit 1'))
    assert (failed.returncode, "editor ended with status 1" in failed.stderr) == (2, True)
    assert (anna.folder / "desired-state/secrets/hello/key.age").read_bytes() == sealed

    anna.secrets("edit", "hello/key", EDITOR=editor(anna, 'echo new >"$1"'))
    assert (anna.value("hello/key"), anna.left_behind) == (b"new", [])


@pytest.mark.parametrize(
    ("before", "written", "after"),
    [
        ("one", "two\\n", "two"),
        ("one", "two\\nthree\\n", "two\nthree\n"),
        ("a\nb", "a\\nc\\n", "a\nc"),
        ("a\nb\n", "a\\nc\\n", "a\nc\n"),
    ],
)
def test_edit_keeps_the_end_of_the_last_line_as_it_was(anna: Person, before: str, written: str, after: str) -> None:
    anna.write("secrets/hello/key.age", seal(before.encode(), RECIPIENTS))

    anna.secrets("edit", "hello/key", EDITOR=editor(anna, f"printf '{written}' >\"$1\""))

    assert anna.value("hello/key") == after.encode()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_edit_leaves_no_value_behind(anna: Person, ending: signal.Signals) -> None:
    """After SIGKILL the next edit removes the leftover file."""
    anna.secrets("set", "hello/key", stdin=PLANTED)
    ready, slow = anna.folder / "ready", 'echo $$ >"$0.pid"; touch "$(dirname "$0")/ready"; exec sleep 60'
    words = anna.words("secrets", "edit", "hello/key")
    edit = subprocess.Popen(words, cwd=anna.folder, env={**anna.environ, "EDITOR": editor(anna, slow)})
    with killed_at_the_end(edit) as process:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(ending)
        with contextlib.suppress(ProcessLookupError):  # it may have ended with its terminal's program
            os.kill(int((anna.folder / "editor.pid").read_text()), signal.SIGTERM)
        process.wait(60)
    if ending is signal.SIGKILL:
        assert len(anna.left_behind) == 1
        anna.secrets("edit", "hello/key", EDITOR="true")

    assert anna.left_behind == []
    assert anna.value("hello/key") == PLANTED.encode()


def test_rekey_encrypts_every_secret_for_the_current_recipients(anna: Person) -> None:
    for name in ("hello/key", "other"):
        anna.secrets("set", name, stdin=name)
    anna.write("secrets/recipients.txt", recipients_text(RECIPIENTS[0]))
    stale = anna.secrets("check", "--json")
    assert {row["state"] for row in json.loads(stale.stdout)["secrets"]} == {"stale"}

    done = anna.secrets("rekey")

    assert (done.returncode, done.stdout.count(": for anna\n")) == (0, 2)
    assert (anna.value("hello/key"), anna.value("other")) == (b"hello/key", b"other")
    boxes = find_keys({"SOPS_AGE_KEY": str(BOX)})
    with pytest.raises(Exception, match="is not encrypted for the keys"):
        unseal((anna.folder / "desired-state/secrets/other.age").read_bytes(), boxes, "x")
    assert anna.secrets("check").returncode == 0


def test_rekey_changes_nothing_when_one_cannot_be_opened(anna: Person) -> None:
    first = anna.write("secrets/a.age", seal(b"x", RECIPIENTS)).read_bytes()
    anna.write("secrets/b.age", seal(b"x", RECIPIENTS[1:]))

    done = anna.secrets("rekey")

    assert (done.returncode, "secrets/b.age is not encrypted for the keys in ~/.config" in done.stderr) == (1, True)
    assert (anna.folder / "desired-state/secrets/a.age").read_bytes() == first


def test_set_warns_if_no_private_key_here_can_open_the_secret(anna: Person) -> None:
    anna.write("secrets/recipients.txt", recipients_text(RECIPIENTS[1]))

    assert "none of the recipients' private keys is on this machine" in anna.secrets("set", "x", stdin="x").stderr


def test_check_exits_1_until_every_named_secret_is_available(anna: Person) -> None:
    """It shows where each secret is, which app names it and who can read it; list needs no private key."""
    missing = anna.secrets("check")
    assert missing.returncode == 1
    assert "hello/key: the secret hello/key is not known\n  next: reconcile secrets set hello/key" in missing.stdout

    anna.secrets("set", "hello/key", stdin=PLANTED)
    anna.secrets("set", "old", stdin="x")
    there = anna.secrets("check")
    assert (there.returncode, there.stdout) == (
        0,
        "secret     state   where                  named by       who can read it\n"
        "hello/key  ok      secrets/hello/key.age  hello env.KEY  anna, box\n"
        "old        unused  secrets/old.age        -              anna, box\n",
    )
    without = {"HOME": "/nonexistent"}
    assert anna.secrets("list", **without).stdout == there.stdout
    refused = anna.secrets("check", "--json", **without)
    assert (refused.returncode, json.loads(refused.stdout)["secrets"][0]["state"]) == (1, "refused")
    assert anna.secrets("check", "--app", "nobody").returncode in (0, 2)


def test_check_names_strange_lines_and_goes_on_with_the_others(anna: Person) -> None:
    """A post-quantum key among one's own, and one among the recipients; only set refuses the latter."""
    anna.secrets("set", "hello/key", stdin=PLANTED)
    anna.write("secrets/recipients.txt", f"{recipients_text(*RECIPIENTS)}age1pq1qqqq\n")
    keys = f"AGE-SECRET-KEY-PQ-1QQQQ\n{ANNA}"

    done = anna.secrets("check", SOPS_AGE_KEY=keys, HOME="/nonexistent")
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            "note: secrets/recipients.txt:5  is not a recipient: post-quantum keys are not supported",
            "note: SOPS_AGE_KEY: line 1 is a post-quantum key, which is not supported",
        ],
    )
    assert "recipients.txt:5  is not a recipient" in anna.secrets("set", "hello/key", stdin="x").stderr


# --- nothing is repeated


@pytest.fixture
def planted(anna: Person) -> Iterator[Person]:
    """A desired state with secrets of every source, some of them unavailable."""
    env = {name: {"secret": name.lower().replace("_", "/", 1)} for name in PLACES}
    anna.write("apps/hello.yaml", HELLO.replace("{KEY: {secret: hello/key}}", json.dumps(env)))
    anna.write("secrets/hello/good.age", seal(PLANTED.encode(), RECIPIENTS))
    anna.write("secrets/hello/many.age", seal(MANY_LINES.encode(), RECIPIENTS))
    anna.write("secrets/hello/nul.age", seal(b"pl4nted\0x", RECIPIENTS))
    anna.write("secrets/hello/binary.age", seal(b"pl4nted\xff", RECIPIENTS))
    anna.write("secrets/hello/other.age", seal(b"pl4nted", RECIPIENTS[1:]))
    anna.write("secrets/hello/cut.age", seal(b"pl4nted", RECIPIENTS)[:-60])
    good = sops_file({"value": PLANTED, "number": 42}, [RECIPIENTS[0].key])
    anna.write("secrets/sops.yaml", good)
    anna.write(
        "secrets/bad.yaml", sops_file({"value": "pl4nted", "plain_unencrypted": 1}, [RECIPIENTS[0].key]) + "x: 1\n"
    )
    anna.write("secrets/plain.yaml", "value: pl4nted\n")
    anna.write("secrets/plain.json", '{"value": pl4nted')
    yield anna


PLACES = (
    "HELLO_GOOD", "HELLO_MANY", "HELLO_NUL", "HELLO_BINARY", "HELLO_OTHER", "HELLO_CUT", "SOPS_VALUE", "BAD_VALUE",
    "PLAIN_VALUE", "ENVIRONMENT_VALUE", "COMMAND_VALUE",
)  # fmt: skip


def test_no_failure_prints_a_secret_value(planted: Person) -> None:
    """On no stream of any command, in no encoding, with --verbose and --json; nor in any file left behind."""
    told = {
        "RECONCILE_SECRET_ENVIRONMENT_VALUE": PLANTED,
        "RECONCILE_SECRETS_COMMAND": f"sh -c {shlex.quote('echo pl4nted; echo pl4nted >&2; exit 1')} {{name}}",
    }
    before = {path for path in planted.folder.rglob("*") if path.is_file()}
    runs = [
        planted.run(*words, **told)
        for words in (
            ("plan", "--verbose"),
            ("plan", "--json"),
            ("--once", "--verbose"),
            ("--once", "--json"),
            ("status", "--json"),
            ("status", "--verbose"),
            ("validate", "--verbose"),
            ("secrets", "check", "--verbose"),
            ("secrets", "check", "--json"),
            ("secrets", "list"),
            ("secrets", "rekey", "--verbose"),
        )
    ]

    said = "".join(done.stdout + done.stderr for done in runs)
    assert (
        "env HELLO_OTHER: secrets/hello/other.age is not encrypted for the keys in ~/.config/sops/age/keys.txt" in said
    )
    files = [path for path in planted.folder.rglob("*") if path.is_file() and path not in before]
    said += "".join(path.read_text(errors="replace") for path in files)
    for form in {"pl4nted", *forms_of(PLANTED), *forms_of("pl4nted"), *forms_of(MANY_LINES)}:
        if "pl4nted" in form or (len(form) >= 8 and form not in ("-----BEGIN KEY-----", "-----END KEY-----")):
            assert form not in said


def test_an_app_with_an_unavailable_secret_is_left_alone_and_others_go_on(planted: Person) -> None:
    """It is blocked before any host is asked; the message names the variable and the secret. Another app is tried."""
    other = HELLO.replace("hello", "other").replace("4000, 4001", "5000, 5001")
    planted.write("apps/other.yaml", other.replace("{KEY: {secret: other/key}}", "{KEY: {secret: sops/number}}"))

    done = planted.run("--once", "--json")

    ends = {row["app"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert "env PLAIN_VALUE: secrets/plain." in ends["hello"]["reason"]
    assert "127.0.0.1" in json.dumps(ends["other"])  # it got as far as the host, which is not there


@pytest.mark.parametrize("words", [("logs", "hello"), ("history", "hello"), ("retry", "hello")])
def test_a_command_that_needs_the_secrets_of_an_app_says_so(planted: Person, words: tuple[str, ...]) -> None:
    done = planted.run(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert "env HELLO_OTHER: secrets/hello/other.age is not encrypted for the keys" in done.stderr
