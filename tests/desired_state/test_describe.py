"""Who made a commit, how they put it, and which commit changed each app last."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from reconciler.desired_state.git.describe import Descriptions, describe, read_log
from reconciler.model.desired import Desired, Fleet


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=Anna \x1b[31m Huber", "-c", "user.email=a@example.com", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str, **texts: str) -> str:
    for name, text in texts.items():
        file = folder / "ds/apps" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message, "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


def described(folder: Path, revision: str | None) -> Descriptions:
    return asyncio.run(describe(Desired(Fleet(), (), revision, folder)))


def test_each_app_has_the_last_commit_that_changed_its_file(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    first = commit(tmp_path, "Begin\n\nwith a body", shop="1", blog="1")
    second = commit(tmp_path, "Roll out \u202eshop 2", shop="2")
    third = commit(tmp_path, "Say something")

    found = described(tmp_path / "ds", third)

    assert found.head is not None
    assert (found.head.revision, found.head.subject) == (third, "Say something")
    assert {app: each.revision for app, each in found.by_app.items()} == {"shop": second, "blog": first}
    assert found.by_app["shop"].subject == "Roll out \\u202eshop 2"
    assert found.by_app["shop"].author == "Anna \\x1b[31m Huber"
    assert found.by_app["blog"].at_epoch_seconds == float(git(tmp_path, "log", "-1", "--format=%ct", first))


def test_files_and_unknown_commits_are_not_described(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    commit(tmp_path, "Begin", shop="1")

    assert described(tmp_path / "ds", None) == Descriptions()
    assert described(tmp_path / "ds", "0" * 40) == Descriptions()


@pytest.mark.parametrize(
    "output", [b"", b"x", b"\0a\0b", b"\0a\0b\0not a date\0s\0\nf\n", b"\0a\0b\0" + b"9" * 13 + b"\0s\0"]
)
def test_output_of_another_form_is_no_commit(output: bytes) -> None:
    assert read_log(output) == []
