"""A secret is read from the same commit as the desired state, or from this controller, and from nowhere else."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pyrage
import pytest

from reconciler.desired_state.load import load, load_from
from reconciler.errors import InvalidDesiredState, ReconcileError, SecretMissing, SecretRefused, UsageError
from reconciler.model.references import references
from reconciler.secrets import command
from reconciler.secrets.audit import Row, audit
from reconciler.secrets.identities import find_keys
from reconciler.secrets.sealed import Recipient, read_recipients, readers_of, seal
from reconciler.secrets.vault import Vault, strip_line_end
from tests.support import age_files
from tests.support.sops_files import sops_file

ANNA, BOX, BOB = (pyrage.x25519.Identity.generate() for _ in range(3))
RECIPIENTS = tuple(
    Recipient(str(each.to_public()), name) for each, name in ((ANNA, "anna"), (BOX, "box"), (BOB, "bob"))
)
VALUE = "pa$$ \"word\" 'x' `y` %s \\n ü 🚀\nline two\n"


def environ(identity: object = BOX, **more: str) -> dict[str, str]:
    return {"SOPS_AGE_KEY": str(identity), **more}


def read(files: Mapping[str, bytes], name: str, env: Mapping[str, str] | None = None) -> str:
    answer = asyncio.run(Vault(files, environ() if env is None else env).read_all([name]))
    return answer(name)


def why_not(files: Mapping[str, bytes], name: str, env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ReconcileError) as refused:
        read(files, name, env)
    assert refused.value.next_step
    return str(refused.value)


# --- where a value comes from


def test_an_age_file_gives_its_value_byte_for_byte() -> None:
    files = {"my_app/key.age": seal(VALUE.encode(), RECIPIENTS)}

    assert read(files, "my_app/key") == VALUE


def test_a_value_in_a_sops_file_is_named_by_its_path_of_keys() -> None:
    text = sops_file({"db": {"password": VALUE}}, [RECIPIENTS[1].key])
    for path in ("prod.yaml", "prod.sops.yaml", "prod.enc.yml"):
        assert read({path: text.encode()}, "prod/db/password") == VALUE
    nested = sops_file({"password": VALUE}, [RECIPIENTS[1].key], "json")
    assert read({"prod/db.sops.json": nested.encode()}, "prod/db/password") == VALUE


def test_the_first_source_that_has_a_secret_wins() -> None:
    """An age file, then SOPS, then the command, then the environment."""
    age = {"a/b.age": seal(b"from age", RECIPIENTS)}
    sops = {"a.yaml": sops_file({"b": "from sops"}, [RECIPIENTS[1].key]).encode()}
    told = environ(RECONCILE_SECRET_A_B="from the environment")
    asked = told | {command.VARIABLE: "printf 'from %s' {name}"}

    places = [({**age, **sops}, asked), (sops, asked), ({}, asked), ({}, told)]
    assert [read(files, "a/b", env) for files, env in places] == [
        "from age",
        "from sops",
        "from a/b",
        "from the environment",
    ]


def test_a_secret_that_cannot_be_decrypted_is_not_read_from_another_source() -> None:
    """An older value left in an environment must not come back on its own."""
    left = environ(BOB, RECONCILE_SECRET_A_B="old")

    assert "a/b.age is not encrypted for the keys" in why_not({"a/b.age": seal(b"new", RECIPIENTS[:2])}, "a/b", left)
    text = sops_file({"b": "new"}, [RECIPIENTS[0].key])
    assert "a.yaml is not encrypted for the keys" in why_not({"a.yaml": text.encode()}, "a/b", left)


def test_an_unknown_secret_is_named_with_every_way_to_set_it() -> None:
    with pytest.raises(SecretMissing) as missing:
        read({}, "my_app/key")

    assert str(missing.value) == "the secret my_app/key is not known"
    assert missing.value.next_step == (
        "reconcile secrets set my_app/key, or set RECONCILE_SECRET_MY_APP_KEY in the environment of reconcile"
    )


def test_two_sops_files_of_one_name_are_refused() -> None:
    text = sops_file({"b": "x"}, [RECIPIENTS[1].key]).encode()

    assert "a.json and secrets/a.yaml have the same name" in why_not({"a.yaml": text, "a.json": text}, "a/b")


@pytest.mark.parametrize(
    ("value", "said"),
    [(b"\xff\xfe", "is not UTF-8 text"), (b"a\0b", "NUL character"), (b"x" * 131_001, "characters long")],
)
def test_a_value_that_cannot_be_in_an_environment_is_refused(value: bytes, said: str) -> None:
    assert said in why_not({"a.age": seal(value, RECIPIENTS)}, "a")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "junk"])
def test_a_damaged_age_file_is_refused_with_our_own_message(damage: str) -> None:
    whole = seal(b"planted", RECIPIENTS)
    content = {"cut": whole[:-60], "changed": whole.replace(b"W", b"X"), "empty": b"", "junk": b"junk"}[damage]

    assert why_not({"a.age": content}, "a") == "secrets/a.age is damaged"


def test_files_written_by_the_age_program_are_read() -> None:
    """Binary or armored, with or without line ends of Windows."""
    key = pyrage.x25519.Recipient.from_str(RECIPIENTS[1].key)
    for armored in (False, True):
        content = pyrage.encrypt(b"value", [key], armored=armored)
        assert read({"a.age": content}, "a") == "value"
    assert read({"a.age": seal(b"value", RECIPIENTS).replace(b"\n", b"\r\n")}, "a") == "value"


# --- the command of the controller


def test_the_secrets_command_is_run_without_a_shell() -> None:
    """Each word stands for itself; one line loses its end, several are taken as they are."""
    script = "import sys; print(sys.argv[1:])"
    asked = environ(**{command.VARIABLE: f"{sys.executable} -c '{script}' '$HOME;{{name}}' \"a b\""})

    assert read({}, "x/y", asked) == "['$HOME;x/y', 'a b']"
    assert read({}, "x", environ(**{command.VARIABLE: "printf 'one\\ntwo\\n%.0s' {name}"})) == "one\ntwo\n"


def test_the_output_of_a_failed_secrets_command_is_not_repeated() -> None:
    script = "import sys; print('planted'); print('planted', file=sys.stderr); sys.exit(3)"
    told = environ(**{command.VARIABLE: f'{sys.executable} -c "{script}" {{name}}', "RECONCILE_SECRET_X": "old"})

    assert "did not return the secret x: it ended with status 3" in why_not({}, "x", told)
    assert "planted" not in why_not({}, "x", told)


def test_a_secrets_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    words = ["sh", "-c", f"sleep 1000 & echo $! >{pid}; wait # {{name}}"]

    with pytest.raises(SecretRefused, match=r"did not answer for the secret x within 0\.5 s"):
        command.ask(words, "x", seconds=0.5)
    deadline = time.monotonic() + 10  # it was sent SIGKILL, and dies when the kernel gets to it
    while not _gone(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_secrets_command_with_endless_output_is_killed() -> None:
    """Its output is kept in memory; no secret is that long."""
    with pytest.raises(SecretRefused, match=r"yes printed too much for the secret x"):
        command.ask(["yes", "{name}"], "x")


def _gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_without_the_secrets_program_the_environment_is_used() -> None:
    """The same desired state is used on a laptop with a password store and in CI without."""
    told = environ(**{command.VARIABLE: "no-such-store show {name}"})

    assert read({}, "x", told | {"RECONCILE_SECRET_X": "from CI"}) == "from CI"
    assert "no-such-store is not installed here" in why_not({}, "x", told)


@pytest.mark.parametrize("text", ["pass show", "{name}", "pass 'show {name}"])
def test_a_secrets_command_without_a_name_is_refused(text: str) -> None:
    assert command.VARIABLE in why_not({}, "x", environ(**{command.VARIABLE: text}))


# --- private keys


def test_keys_are_found_where_age_and_sops_users_keep_them(tmp_path: Path) -> None:
    """Named by a variable, in the configuration folder, or the ssh key; a protected one does no harm until needed."""
    home = tmp_path / "home"
    (home / ".config/sops/age").mkdir(parents=True)
    (home / ".config/sops/age/keys.txt").write_text(f"# created: today\n# public key: x\n{ANNA}\n\n{BOB}\n")
    (home / ".ssh").mkdir()
    ssh_keygen(home / ".ssh/id_ed25519", "")
    ssh_keygen(home / ".ssh/id_rsa", "passphrase")
    named = tmp_path / "named"
    named.write_text(str(BOX))
    env = {"HOME": str(home), "RECONCILE_AGE_KEY_FILE": str(named), "SOPS_AGE_KEY_FILE": str(tmp_path / "none")}

    keys = find_keys(env)

    assert len(keys.identities) == 4
    assert keys.found == (f"RECONCILE_AGE_KEY_FILE ({named})", "~/.config/sops/age/keys.txt", "~/.ssh/id_ed25519")
    assert keys.troubles == (
        f"SOPS_AGE_KEY_FILE ({tmp_path}/none): No such file or directory",
        "~/.ssh/id_rsa: is protected by a passphrase, which reconcile cannot ask for",
    )
    assert not any(str(each) in repr(keys) for each in (ANNA, BOB, BOX))


def test_an_ssh_key_decrypts_what_was_encrypted_for_its_public_key(tmp_path: Path) -> None:
    ssh_keygen(tmp_path / "key", "")
    recipients = read_recipients((tmp_path / "key.pub").read_bytes(), "recipients.txt").recipients
    named = {"RECONCILE_AGE_KEY_FILE": str(tmp_path / "key")}

    assert (recipients[0].name, read({"a.age": seal(b"x", recipients)}, "a", named)) == ("somebody", "x")
    assert read({"a.yaml": sops_file({"b": "y"}, [recipients[0].key]).encode()}, "a/b", named) == "y"


STRANGE_KEYS = {
    "AGE-SECRET-KEY-1PLANTED": "is not an age private key",
    "planted": "is not an age private key",
    "AGE-PLUGIN-YUBIKEY-1PLANTED": "is a plugin key, which is not supported",
    "AGE-SECRET-KEY-PQ-1PLANTED": "is a post-quantum key, which is not supported",
}


@pytest.mark.parametrize("line", STRANGE_KEYS)
def test_one_strange_line_does_not_hide_the_other_keys_of_a_file(line: str, tmp_path: Path) -> None:
    """Whatever the order, and in a variable too; the strange line is named."""
    content = {"a.age": seal(b"x", RECIPIENTS), "b.yaml": sops_file({"c": "y"}, [RECIPIENTS[1].key]).encode()}
    ssh_keygen(tmp_path / "ssh", "")
    ssh = (tmp_path / "ssh").read_text()
    for text in (f"{line}\n{BOX}\n", f"{BOX}\n{line}\n", f"\ufeff{line}\r\n{BOX}", f"{line}\n{ssh}{BOX}\n"):
        (tmp_path / "keys").write_text(text)
        for env in ({"RECONCILE_AGE_KEY_FILE": str(tmp_path / "keys")}, {"SOPS_AGE_KEY": text}):
            assert (read(content, "a", env), read(content, "b/c", env)) == ("x", "y")
            (trouble,) = find_keys(env).troubles
            assert trouble.endswith(f"line {2 if text.startswith(str(BOX)) else 1} {STRANGE_KEYS[line]}")


def test_an_ssh_key_that_lost_its_last_line_end_is_read(tmp_path: Path) -> None:
    """As in a variable of CI."""
    ssh_keygen(tmp_path / "key", "")
    recipients = read_recipients((tmp_path / "key.pub").read_bytes(), "r").recipients

    assert read({"a.age": seal(b"x", recipients)}, "a", {"SOPS_AGE_KEY": (tmp_path / "key").read_text().strip()}) == "x"


@pytest.mark.parametrize("line", STRANGE_KEYS)
def test_a_bad_key_file_is_reported_by_line_without_its_content(line: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# mine\n{line}\n")
    said = why_not({"a.age": seal(b"x", RECIPIENTS)}, "a", {"RECONCILE_AGE_KEY_FILE": str(tmp_path / "keys")})

    assert "line 2 is" in said
    assert "planted" not in said.lower()


def ssh_keygen(path: Path, passphrase: str) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "somebody", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


# --- recipients


def test_the_recipients_file_is_read_as_age_reads_it_with_names() -> None:
    anna, box, _ = RECIPIENTS
    text = f"# anna\n{anna.key}\n\n{box.key}\n# twice\n{box.key}\n"

    assert read_recipients(text.encode(), "r").all_or_refuse() == (anna, Recipient(box.key))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AGE-SECRET-KEY-1PLANTED", "r:2  contains a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "r:2  contains a private key"),
        ("age1planted", "r:2  is not a recipient: the key is damaged"),
        ("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "plugin keys"),
        ("ssh-ed25519 AAAA planted", "r:2  is not a recipient"),
        ("planted@example.com", "r:2  is not a recipient"),
        ("age1pq1planted", "r:2  is not a recipient: post-quantum keys"),
    ],
)
def test_a_line_that_is_not_a_public_key_is_refused_with_its_place(line: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_recipients(f"# x\n{line}\n".encode(), "r").all_or_refuse()

    assert said in str(refused.value)
    assert "planted" not in str(refused.value).lower()


def test_the_other_lines_of_a_recipients_file_are_used_to_check(tmp_path: Path) -> None:
    listed = read_recipients(f"age1pq1planted\n{RECIPIENTS[0].key}\n".encode(), "r")

    assert listed.recipients == (Recipient(RECIPIENTS[0].key),)
    assert [str(error) for error in listed.errors] == ["r:1  is not a recipient: post-quantum keys are not supported"]


def test_a_secret_is_encrypted_for_a_key_in_a_security_token() -> None:
    """Beside others: the owner decrypts it with a plugin, the controller with a key of its own."""
    recipients = read_recipients(
        f"{age_files.hardware_recipient()}\n{RECIPIENTS[1].key}\n".encode(), "r"
    ).all_or_refuse()
    content = seal(b"x", recipients)

    assert readers_of(content).keys == 2
    assert read({"a.age": content}, "a") == "x"


def test_an_age_file_names_its_readers_and_a_false_list_is_detected() -> None:
    anna, box, bob = RECIPIENTS
    content = seal(b"x", (anna, box))

    assert readers_of(content).listed == (anna, box)
    assert readers_of(content).difference_from((anna, box)) == ""
    assert readers_of(content).difference_from((anna, bob)) == "box can still read it and bob cannot read it"
    forged = content.replace(f"# for {box.key} box\n".encode(), b"")
    assert readers_of(forged).difference_from((anna,)) == "is encrypted for 2 keys, but lists 1"
    assert readers_of(content[content.index(b"-----") :]).difference_from((anna,)) == "does not list its recipients"


@pytest.mark.parametrize(
    ("output", "value"),
    [(b"x\n", b"x"), (b"x", b"x"), (b"x\r\n", b"x"), (b"x\n\n", b"x\n\n"), (b"a\nb\n", b"a\nb\n"), (b"\n", b"")],
)
def test_the_line_end_of_a_one_line_value_is_removed(output: bytes, value: bytes) -> None:
    assert strip_line_end(output) == value


# --- from the same commit as everything else

HELLO = """\
app: hello
version: "1"
artifact: {source: /x.tgz}
hosts: [web1]
ports: [4000]
env: {KEY: {secret: hello/key}}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose commit has the value `committed`, and whose files on disk have another one."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    Path("ds/apps").mkdir(parents=True)
    Path("ds/secrets/hello").mkdir(parents=True)
    Path("ds/apps/hello.yaml").write_text(HELLO)
    Path("ds/secrets/hello/key.age").write_bytes(seal(b"committed", RECIPIENTS))
    git("add", "-A")
    git("commit", "-qm", "one")
    Path("ds/secrets/hello/key.age").write_bytes(seal(b"on disk", RECIPIENTS))
    return tmp_path


def git(*words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_secrets_are_read_from_the_same_commit_as_the_apps(repository: Path) -> None:
    """HEAD, another commit, the files when asked for, and a mirror of a remote repository."""
    first = git("rev-parse", "HEAD")
    desired = load(Path("ds"))
    assert read(desired.secret_files, "hello/key") == "committed"
    assert desired.notes == (
        "uncommitted edits in ds/secrets/hello/key.age are ignored; commit them or pass --working-tree",
    )
    assert read(load(Path("ds"), working_tree=True).secret_files, "hello/key") == "on disk"

    git("commit", "-qam", "two")
    assert read(load(Path("ds")).secret_files, "hello/key") == "on disk"
    assert read(load(Path("ds"), ref=first).secret_files, "hello/key") == "committed"
    mirrored = load_from(Path(".git").resolve(), first, PurePosixPath("ds"))
    assert read(mirrored.secret_files, "hello/key") == "committed"


def test_a_link_among_the_secrets_is_refused(repository: Path) -> None:
    """It could lead out of what was reviewed."""
    Path("ds/secrets/other.age").symlink_to("/etc/passwd")

    with pytest.raises(InvalidDesiredState, match=r"ds/secrets/other.age  is a symbolic link"):
        load(Path("ds"), working_tree=True)


def test_files_that_are_not_secrets_are_ignored(repository: Path) -> None:
    """A README, an editor's copy, a hidden file."""
    for name in ("README.md", "key.age~", ".key.age.swp", "hello/notes"):
        (Path("ds/secrets") / name).write_text("x")

    assert list(load(Path("ds"), working_tree=True).secret_files) == ["hello/key.age"]


# --- what is said of all of them


def rows(files: Mapping[str, bytes], env: Mapping[str, str], recipients: tuple[Recipient, ...]) -> dict[str, Row]:
    Path("ds/apps").mkdir(parents=True, exist_ok=True)
    Path("ds/apps/hello.yaml").write_text(HELLO)
    Path("ds/fleet.yaml").write_text("notify: [{kind: slack, url: {secret: prod/slack}}]\n")
    named = references(load(Path("ds"), working_tree=True))
    return {row.name: row for row in asyncio.run(audit(Vault(files, env), named, recipients, whole=True))}


def test_each_secret_is_listed_with_its_apps_and_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    anna, box, bob = RECIPIENTS
    files = {
        "hello/key.age": seal(b"x", (anna, box)),
        "old.age": seal(b"x", (anna, box)),
        "prod.yaml": sops_file({"slack": "https://x.example", "other": "y"}, [box.key]).encode(),
        "broken.json": b"{}",
    }

    found = rows(files, environ(), (anna, box))
    assert {name: (row.state, row.used_by, row.readers) for name, row in found.items()} == {
        "hello/key": ("ok", ("hello env.KEY",), ("anna", "box")),
        "old": ("unused", (), ("anna", "box")),
        "prod/other": ("unused", (), ("box",)),
        "prod/slack": ("ok", ("fleet.yaml notify[0].url",), ("box",)),
        "secrets/broken.json": ("refused", (), ()),
    }
    assert rows(files, environ(), (anna, box, bob))["hello/key"].state == "stale"
    assert rows(files, {}, (anna, box))["hello/key"].state == "refused"
    assert rows({}, environ(), ())["hello/key"].state == "missing"


def test_a_private_key_file_that_others_can_read_is_reported(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(str(BOX))
    keys.chmod(0o644)
    named = {"RECONCILE_AGE_KEY_FILE": str(keys)}

    assert find_keys(named).open_to_others == (f"RECONCILE_AGE_KEY_FILE ({keys})",)
    keys.chmod(stat.S_IRUSR)
    assert find_keys(named).open_to_others == ()
    assert os.access(keys, os.R_OK)
