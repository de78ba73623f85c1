"""`set` changes one version and its digest; every other byte of the file stays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.commands import set as set_command
from reconciler.desired_state.set_version import set_version
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.model.options import Options

OLD, NEW = "a" * 64, "b" * 64

TEXT = """\
# é: who reads this?  \U0001f600
app:   hello
version:   1.9   # keep me

artifact:
    source: "x-{version}.tgz"   # and me
    # and me
    sha256:  'AAAA'
hosts: [ web1 ]
env: {version: 1.9, sha256: no}
""".replace("AAAA", OLD)


def test_only_the_version_changes() -> None:
    assert set_version(TEXT, "1.10") == TEXT.replace("version:   1.9", "version:   1.10")


def test_the_digest_is_replaced_in_its_place() -> None:
    assert set_version(TEXT, "1.10", NEW) == TEXT.replace("version:   1.9", "version:   1.10").replace(OLD, NEW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1.9", "version: 2.0"),
        ("version: '1.9'", "version: '2.0'"),
        ('version: "1.9" # c', 'version: "2.0" # c'),
        ("'version': 1.9", "'version': 2.0"),
        ("version:", "version: 2.0"),
        ("version:   # none yet", "version: 2.0   # none yet"),
        ("version: ~", "version: 2.0"),
        ("version:\n  1.9", "version:\n  2.0"),
        ("? version\n: 1.9", "? version\n: 2.0"),
        ("{app: a, version: 1.9, hosts: [b]}", "{app: a, version: 2.0, hosts: [b]}"),
        ("version: 1.9 \t", "version: 2.0 \t"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_the_quoting_style_of_the_version_is_kept(old: str, new: str, line_end: str, bom: str) -> None:
    assert set_version(bom + old.replace("\n", line_end), "2.0") == bom + new.replace("\n", line_end)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("artifact:\n  source: x # c\nhosts: [a]\n", f"artifact:\n  source: x # c\n  sha256: {NEW}\nhosts: [a]\n"),
        ("artifact:\n  source: x", f"artifact:\n  source: x\n  sha256: {NEW}\n"),
        ("artifact: {source: x}\n", f"artifact: {{source: x, sha256: {NEW}}}\n"),
        ('artifact: {source: "x-{version}.tgz"}\n', f'artifact: {{source: "x-{{version}}.tgz", sha256: {NEW}}}\n'),
        ("artifact: {source: 'x' }\n", f"artifact: {{source: 'x', sha256: {NEW} }}\n"),
        ("artifact:\n  sha256:\n  source: x\n", f"artifact:\n  sha256: {NEW}\n  source: x\n"),
        ("artifact: {source: x, sha256: }\n", f"artifact: {{source: x, sha256: {NEW} }}\n"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_new_digest_is_written_beside_the_source(old: str, new: str, line_end: str) -> None:
    # With no line end in it, there is none to follow.
    expected = new if "\n" not in old.strip() + "\n" else new.replace("\n", line_end)

    assert set_version("version: 1" + line_end + old.replace("\n", line_end), "1", NEW) == (
        "version: 1" + line_end + expected
    )


def test_a_version_called_null_is_quoted() -> None:
    assert set_version("version: 1.9\n", "null") == 'version: "null"\n'


@pytest.mark.parametrize(
    "text",
    ["app: a\n", "version: |\n  1.9\n", "version: 'a\n  b'\n", "version: [1]\n", "version: 1\nartifact: x\n", "- a\n"],
)
def test_what_cannot_be_edited_in_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        set_version(text, "2.0", NEW)


@pytest.mark.parametrize("text", ["version: &a 1\nx: *a\n", "version: 1\nversion: 2\n", "version: [\n"])
def test_a_file_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(InvalidDesiredState):
        set_version(text, "2.0")


def test_a_version_that_would_change_more_is_refused() -> None:
    for version in ("1: 2", "1 # c", "1\nhosts: [x]", " 1"):
        with pytest.raises((UsageError, InvalidDesiredState)):
            set_version("version: 1.9\n", version)


@given(st.from_regex(r"[A-Za-z0-9](\.?[A-Za-z0-9_+~-]){0,20}", fullmatch=True))
def test_every_valid_version_is_read_back_as_written(version: str) -> None:
    for text in (TEXT, TEXT.replace("1.9 ", "'1.9' ", 1), TEXT.replace("1.9 ", '"1.9" ', 1)):
        document = read_yaml(set_version(text, version).encode(), "f")
        assert isinstance(document.value, dict)
        assert document.value["version"] == version


# The command.

APP = "app: hello\nversion: 1.9 # keep\nartifact:\n  source: {source}\n{more}hosts: [web1]\nports: [4000, 4001]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("ds/apps").mkdir(parents=True)
    return Path("ds")


def write(source: str = "hello-{version}.tgz", more: str = "") -> Path:
    path = Path("ds/apps/hello.yaml")
    path.write_text(APP.format(source=source, more=more))
    return path


def run(version: str, app: str = "hello", as_json: bool = False, sha256: str | None = None) -> int:
    return set_command.run(
        Options(
            desired_state=Path("ds"),
            app_name=app,
            version=version,
            json=as_json,
            sha256=sha256,
            ref=None,
            working_tree=False,
        )
    )


def test_set_prints_the_change_and_the_next_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write()
    before = path.read_text()

    assert run("1.10") == 0
    assert path.read_text() == before.replace("1.9", "1.10")
    assert capsys.readouterr().out == (
        "hello: 1.9 → 1.10 in ds/apps/hello.yaml\nnext: git commit -m 'hello 1.10' ds/apps/hello.yaml\n"
    )


def test_setting_the_same_version_leaves_the_file_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write()
    before = path.stat()

    assert run("1.9") == 0
    assert path.stat() == before
    assert capsys.readouterr().out == "hello is already at 1.9 in ds/apps/hello.yaml\n"


def test_set_answers_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write()

    assert run("1.10", as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "app": "hello",
        "file": "ds/apps/hello.yaml",
        "from": "1.9",
        "to": "1.10",
        "changed": True,
        "sha256": None,
    }


def test_a_pinned_digest_follows_the_local_archive(folder: Path) -> None:
    path = write(more=f"  sha256: {OLD}\n")
    Path("ds/hello-2.0.tgz").write_bytes(b"archive")

    assert run("2.0") == 0
    assert hashlib.sha256(b"archive").hexdigest() in path.read_text()
    assert OLD not in path.read_text()


@pytest.mark.parametrize("source", ["hello-{version}.tgz", "'https://h/{version}.tgz'"])
def test_set_refuses_a_version_whose_pinned_digest_cannot_be_renewed(folder: Path, source: str) -> None:
    """Otherwise the new version would keep the digest of the old archive."""
    path = write(source, more=f"  sha256: {OLD}\n")
    before = path.read_text()

    with pytest.raises(UsageError) as refused:
        run("2.0")
    assert "--sha256" in refused.value.next_step
    assert path.read_text() == before
    assert run("2.0", sha256=NEW.upper()) == 0
    assert NEW in path.read_text()


def test_a_given_digest_is_added(folder: Path) -> None:
    path = write("'https://h/{version}.tgz'")

    assert run("2.0", sha256=NEW) == 0
    assert f"  source: 'https://h/{{version}}.tgz'\n  sha256: {NEW}\nhosts:" in path.read_text()


@pytest.mark.parametrize("version", ["../x", "1;reboot", "-1", "", "1\n2", "$(id)"])
def test_set_refuses_a_version_that_cannot_name_a_release(folder: Path, version: str) -> None:
    path = write()
    before = path.read_text()

    with pytest.raises(UsageError, match=r"^version "):
        run(version)
    assert path.read_text() == before


def test_an_unknown_app_is_refused_with_the_known_ones(folder: Path) -> None:
    write()
    for name in ("helo", "../apps/hello", ""):
        with pytest.raises(UsageError) as refused:
            run("2.0", app=name)
        assert refused.value.next_step == "apps here: hello"


def test_set_does_not_write_an_invalid_desired_state(folder: Path) -> None:
    path = write()
    Path("ds/apps/other.yaml").write_text(path.read_text().replace("hello", "other"))
    before = path.read_text()

    with pytest.raises(InvalidDesiredState, match="4000 is also a port of hello"):
        run("2.0")
    assert path.read_text() == before


def test_set_keeps_mode_and_line_endings_and_leaves_no_other_file(folder: Path) -> None:
    path = write()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    path.chmod(0o640)
    before = path.read_bytes()

    assert run("2.0") == 0
    assert path.read_bytes() == before.replace(b"1.9", b"2.0")
    assert (path.stat().st_mode & 0o7777, [entry.name for entry in Path("ds/apps").iterdir()]) == (
        0o640,
        ["hello.yaml"],
    )
