"""A stale clone never wins: a desired state older than what a host has changes nothing there."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.next_action import next_action
from reconciler.desired_state.git.history import why_behind
from reconciler.engine.stale_clone import mark_if_behind
from reconciler.model.action import AnyAction, Blocked
from reconciler.model.observed import ObservedHost
from reconciler.model.target import Controller
from reconciler.targets.resolve import TargetFiles
from tests.engine.test_order import app, targets
from tests.support.world import World, run_pass, wanted

OWNER = "repository-1"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "commit", "-qm", "change", "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A clone with two commits."""
    folder = tmp_path / "first"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    commit(folder)
    return folder


def clone(first: Path, *words: str) -> Path:
    git(first.parent, "clone", "-q", *words, f"file://{first}", "second")
    return first.parent / "second"


def behind(folder: Path, applied: str) -> str:
    return asyncio.run(why_behind(folder, git(folder, "rev-parse", "HEAD"), applied))


def test_what_comes_after_or_beside_is_not_behind(first: Path) -> None:
    applied = git(first, "rev-parse", "HEAD")
    commit(first)
    assert behind(first, applied) == ""

    git(first, "reset", "-q", "--hard", "HEAD~2")
    commit(first)
    assert behind(first, applied) == ""


def test_a_clone_that_has_not_pulled_is_behind(first: Path) -> None:
    second = clone(first)
    applied = commit(first)

    assert behind(second, applied) == f"commit {applied[:7]}, which was applied here, is not in this clone"


def test_a_clone_that_has_fetched_but_not_merged_is_behind(first: Path) -> None:
    second = clone(first)
    applied = commit(first)
    git(second, "fetch", "-q")

    here = git(second, "rev-parse", "HEAD")
    assert behind(second, applied) == f"commit {here[:7]} is older than {applied[:7]}, which was applied here"


def test_who_went_back_in_this_very_clone_meant_it(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    applied = git(first, "rev-parse", "HEAD")
    git(first, "reset", "-q", "--hard", "HEAD~1")

    assert behind(first, applied) == ""


def test_a_shallow_clone_is_given_no_benefit_of_the_doubt(first: Path) -> None:
    second = clone(first, "--depth=1")
    applied = commit(first)

    assert behind(second, applied) == f"commit {applied[:7]}, which was applied here, is not in this clone"


def test_behind_nothing_is_changed_and_the_way_out_is_told() -> None:
    world = World()
    run_pass(world, wanted("2"))
    world.actions.clear()

    end = run_pass(world, wanted("1", behind="commit aaaaaaa is older than bbbbbbb, which was applied here"))
    assert isinstance(end, Blocked)
    assert (end.kind, end.serving, world.actions) == ("step_back", "2", [])
    assert end.reason.endswith("; it would install: not on the host")
    assert "--allow-step-back" in (end.next_step or "")


def judged(seen: ObservedHost, owner: str = OWNER, revision: str | None = "old") -> tuple[TargetFiles, list[str]]:
    asked: list[str] = []

    async def older(applied: str) -> str:
        asked.append(applied)
        return f"older than {applied}"

    (files,) = targets(app("hello", ["a"]))
    who = Controller("t", "me", owner, revision)
    return asyncio.run(mark_if_behind(files, seen, who, older)), asked


def seen(**changes: str | None) -> ObservedHost:
    host = ObservedHost("a")
    return host.with_app("hello", replace(host.app("hello"), **{"owner": OWNER, "commit": "new", **changes}))  # type: ignore[arg-type]


def test_git_is_asked_about_what_the_same_desired_state_did_before() -> None:
    files, asked = judged(seen())

    assert (files.target.behind, asked) == ("older than new", ["new"])
    assert isinstance(next_action(files.target, seen()), Blocked)


@pytest.mark.parametrize(
    ("host", "owner", "revision"),
    [
        (seen(commit="old"), OWNER, "old"),
        (seen(commit=None), OWNER, "old"),
        (seen(owner="another"), OWNER, "old"),
        (seen(), OWNER, None),
    ],
    ids=["the same commit", "never applied from git", "of another repository", "files, no commit"],
)
def test_otherwise_nothing_is_asked(host: ObservedHost, owner: str, revision: str | None) -> None:
    files, asked = judged(host, owner, revision)

    assert (files.target.behind, asked) == (None, [])
    assert isinstance(next_action(files.target, host), AnyAction)
