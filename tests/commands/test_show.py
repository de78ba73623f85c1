"""`reconcile show` prints the app as it is on each host, as its file could say it, with the place of each value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.cli import read_options
from reconciler.commands.show import run, scalar
from reconciler.desired_state import key_examples
from reconciler.desired_state.load import load
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.errors import UsageError
from tests.support.desired_folder import HELLO, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


FLEET = """\
hosts:
  web1: {address: 10.0.0.1, groups: [eu]}
  web2: {address: 10.0.0.2}
defaults: {env: {TZ: UTC}}
"""
APP = (
    HELLO.replace("[web1]", "[web1, web2]")
    + "env: {DB: {secret: hello/db}, TEXT: 'a: \"b\" #c'}\noverrides:\n  group:eu: {env: {TEXT: x}}\n"
)


def show(*words: str) -> int:
    return run(read_options(["show", "hello", "--desired-state", "ds", *words]))


def rows(text: str) -> list[str]:
    return [" # ".join(part.rstrip() for part in line.split(" # ")) for line in text.splitlines()]


def test_each_value_has_its_place_and_a_secret_only_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    write({"hello": APP}, FLEET)

    assert show("--host", "web1") == 0

    shown = rows(capsys.readouterr().out)
    assert shown[:4] == [
        "# hello on web1",
        "app: hello # ds/apps/hello.yaml:1",
        "version: 1.10 # ds/apps/hello.yaml:2",
        "artifact:",
    ]
    assert {
        "  TZ: UTC # ds/fleet.yaml:4",
        "  DB: {secret: hello/db} # ds/apps/hello.yaml:6",
        "  TEXT: x # ds/apps/hello.yaml:8",
        "drain_seconds: 10 # default",
        "memory_max: 40% # default",
        "start: bin/hello start # default",
    } <= {*shown}


def test_hosts_on_which_all_is_the_same_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    write({"hello": APP}, FLEET)

    assert show("--json") == 0

    found = json.loads(capsys.readouterr().out)
    texts = [
        [key for key in each["keys"] if key["key"] in ("env.TEXT", "env.DB", "hosts[1]")] for each in found["variants"]
    ]
    secret = {"key": "env.DB", "secret": "hello/db", "from": "ds/apps/hello.yaml:6"}
    host = {"key": "hosts[1]", "value": "web2", "from": "ds/apps/hello.yaml:4"}
    assert [each["hosts"] for each in found["variants"]] == [["web1"], ["web2"]]
    assert texts == [
        [host, secret, {"key": "env.TEXT", "value": "x", "from": "ds/apps/hello.yaml:8"}],
        [host, secret, {"key": "env.TEXT", "value": 'a: "b" #c', "from": "ds/apps/hello.yaml:6"}],
    ]


@pytest.mark.parametrize(("app", "environment"), [("shop", ""), ("billing", ""), ("shop", "staging")])
def test_what_it_prints_is_the_app(
    app: str, environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read as the app's own file, with no layer under or over it, it means the same."""
    folder = str(key_examples.FOLDER)
    words = ["--desired-state", folder, "--working-tree", *(["--environment", environment] if environment else [])]

    assert run(read_options(["show", app, *words])) == 0

    text = "".join(f"{line.partition('  # ')[0].rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    (tmp_path / "new" / "apps").mkdir(parents=True)
    (tmp_path / "new" / "apps" / f"{app}.yaml").write_text(text.replace("after:\n  - billing\n", "after:\n"))
    meant = next(
        each for each in load(key_examples.FOLDER, working_tree=True, environment=environment).apps if each.app == app
    ).variants[0]
    (read,) = load(tmp_path / "new", working_tree=True).apps
    same = {"overrides", "after"}
    expected = meant.model_dump(exclude=same) | {"start": meant.start_command, "memory_max": meant.memory_limit}
    assert read.model_dump(exclude=same) == expected


@pytest.mark.parametrize(
    "text", ["", " a", "a: b", "- a", "#", "{", "null", "~", "1.10", "a b", "'", '"', "\t", "é", "<<"]
)
def test_a_line_reads_as_the_same_text(text: str) -> None:
    assert read_yaml(f"a: {scalar(text)}".encode(), "f").value == {"a": text}


def test_what_is_not_there_is_told() -> None:
    write({"hello": APP}, FLEET)

    with pytest.raises(UsageError, match="hello does not run on web9"):
        show("--host", "web9")
    with pytest.raises(UsageError, match="there is no app 'other' in ds"):
        run(read_options(["show", "other", "--desired-state", "ds"]))
