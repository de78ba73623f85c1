"""`reconcile validate` accepts a valid desired state and names every problem of an invalid one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import read_options
from reconciler.commands.validate import run

HELLO = "app: hello\nversion: 1.10\nartifact: {source: x}\nhosts: [web1, local]\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ds/apps").mkdir(parents=True)
    Path("ds/apps/hello.yaml").write_text(HELLO)


def validate(as_json: bool = False, ref: str | None = None) -> int:
    words = ["validate", "--desired-state", "ds", *(["--ref", ref] if ref else []), *(["--json"] if as_json else [])]
    return run(read_options(words))


def test_validate_counts_the_apps_of_a_valid_desired_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate() == 0
    assert capsys.readouterr() == ("ok: 1 app on 2 hosts (files on disk)\n", "")


def test_validate_names_the_commit_and_the_uncommitted_edits(capsys: pytest.CaptureFixture[str]) -> None:
    script = "git init -q . && git add . && git -c user.name=t -c user.email=t@example.com commit -qm x"
    subprocess.run(["sh", "-c", script], check=True)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    Path("ds/apps/hello.yaml").write_text("broken: [")

    assert validate() == 0
    note = "uncommitted edits in ds/apps/hello.yaml are ignored; commit them or pass --working-tree"
    assert capsys.readouterr() == (f"ok: 1 app on 2 hosts (commit {revision[:7]})\n", note + "\n")
    assert validate(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "apps": ["hello"],
        "hosts": ["local", "web1"],
        "commit": revision,
        "notes": [note],
        "problems": [],
        "environments": {},
    }


def test_problems_go_to_stderr_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("ds/apps/hello.yaml").write_text(HELLO + "x: 1\nroute: 2\n")

    assert validate() == 2
    out, err = capsys.readouterr()
    assert (out, [line.partition(";")[0] for line in err.splitlines()]) == (
        "",
        ["ds/apps/hello.yaml:5:1  x: is not a key", "ds/apps/hello.yaml:6:8  route: must be a block of keys"],
    )


def test_problems_come_as_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    Path("ds/apps/hello.yaml").write_text(HELLO + "verison: 1\n")

    assert validate(as_json=True) == 2
    out, err = capsys.readouterr()
    assert (json.loads(out)["ok"], err) == (False, "")
    assert json.loads(out)["problems"] == [
        {
            "file": "ds/apps/hello.yaml",
            "line": 5,
            "column": 1,
            "key": "verison",
            "message": "is not a key",
            "next_step": "did you mean version?",
        }
    ]


def test_a_git_problem_names_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(ref="main") == 2
    assert capsys.readouterr().err == "ds is not in a git repository, so there is no main\nnext: leave --ref out\n"


def test_validate_names_ports_that_an_outgoing_connection_can_have(capsys: pytest.CaptureFixture[str]) -> None:
    """The host may give them to any client; then the app cannot start, now and then."""
    ports = "ports: [32767, 40001]\nsandbox: {extra_ports: [60999, 61000]}\n"
    Path("ds/apps/hello.yaml").write_text(HELLO + ports)

    assert validate() == 0
    assert capsys.readouterr().err == (
        "hello: 40001, 60999 can be taken by an outgoing connection of the host just when the app starts: Linux gives "
        "these the ports 32768–60999; use one below 32768, or reserve it on the host "
        "(net.ipv4.ip_local_reserved_ports)\n"
    )
