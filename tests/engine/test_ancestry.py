"""A stale clone never wins: a desired state older than the applied commit changes nothing on that host."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from reconciler.desired_state.git.history import why_behind
from reconciler.desired_state.origin import Origin
from reconciler.engine.converge import converge
from reconciler.model.action import Blocked
from reconciler.model.observed import ObservedHost
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from tests.decide.test_fleet import app
from tests.support.stepping import PLENTY, QUIET, Stepping, ends, opened
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


def test_a_newer_or_parallel_commit_is_not_stale(first: Path) -> None:
    applied = git(first, "rev-parse", "HEAD")
    commit(first)
    assert behind(first, applied) == ""

    git(first, "reset", "-q", "--hard", "HEAD~2")
    commit(first)
    assert behind(first, applied) == ""


def test_a_clone_that_has_not_pulled_is_stale(first: Path) -> None:
    second = clone(first)
    applied = commit(first)

    assert behind(second, applied) == f"commit {applied[:7]}, which was applied here, is not in this clone"


def test_a_clone_that_has_fetched_but_not_merged_is_stale(first: Path) -> None:
    second = clone(first)
    applied = commit(first)
    git(second, "fetch", "-q")

    here = git(second, "rev-parse", "HEAD")
    assert behind(second, applied) == f"commit {here[:7]} is older than {applied[:7]}, which was applied here"


def test_a_reset_in_this_clone_is_a_step_back_on_purpose(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    applied = git(first, "rev-parse", "HEAD")
    git(first, "reset", "-q", "--hard", "HEAD~1")

    assert behind(first, applied) == ""


def test_a_shallow_clone_that_cannot_tell_counts_as_stale(first: Path) -> None:
    second = clone(first, "--depth=1")
    applied = commit(first)

    assert behind(second, applied) == f"commit {applied[:7]}, which was applied here, is not in this clone"


def test_a_stale_clone_changes_nothing_and_is_told_what_to_do() -> None:
    world = World()
    run_pass(world, wanted("2"))
    world.actions.clear()

    end = run_pass(world, wanted("1", behind="commit aaaaaaa is older than bbbbbbb, which was applied here"))
    assert isinstance(end, Blocked)
    assert (end.kind, end.serving, world.actions) == ("step_back", "2", [])
    assert end.reason.endswith("; it would install: not on the host")
    assert "--allow-step-back" in (end.next_step or "")


def judged(seen: ObservedHost, monkeypatch: pytest.MonkeyPatch, **who: object) -> tuple[list[Outcome], list[str]]:
    """How a pass of the desired state at commit "old" ends, and which commits git was asked about."""
    asked: list[str] = []

    class Repository:
        async def why_behind(self, applied: str) -> str:
            asked.append(applied)
            return f"older than {applied}"

    model = Stepping({"a": seen})
    model.install(monkeypatch)
    fleet = opened(app("hello", ["a"]))
    fleet.origin = cast(Origin, Repository())
    controller = replace(Controller("t", "me", OWNER, "old"), **who)  # type: ignore[arg-type]
    fleet.desired = replace(fleet.desired, revision=controller.revision)
    fleet.owner = controller.owner
    return asyncio.run(converge(fleet, QUIET, controller, allow_prune=True)), asked


def seen(**changes: str | None) -> ObservedHost:
    host = ObservedHost("a", PLENTY)
    return host.with_app("hello", replace(host.app("hello"), **{"owner": OWNER, "commit": "new", **changes}))  # type: ignore[arg-type]


def test_git_compares_with_earlier_commits_of_the_same_desired_state(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, asked = judged(seen(), monkeypatch)

    assert asked == ["new"]
    assert ends(outcomes) == {("hello", "a"): "step_back"}


@pytest.mark.parametrize(
    ("host", "who"),
    [
        (seen(commit="old"), {}),
        (seen(commit=None), {}),
        (seen(owner="another"), {}),
        (seen(), {"revision": None}),
    ],
    ids=["the same commit", "never applied from git", "of another repository", "files, no commit"],
)
def test_otherwise_git_is_not_asked(
    host: ObservedHost, who: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, asked = judged(host, monkeypatch, **who)

    assert asked == []
    assert ends(outcomes) == {("hello", "a"): "1"}


def test_a_stale_clone_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newer commit has added is not named by the older one, and is not its to remove."""
    newer = replace(seen(commit="old").app("hello"), commit="new", releases=("1-x",))
    host = seen(commit="old").with_app("added", newer)

    outcomes, asked = judged(host.with_app("third", newer).with_app("fourth", newer), monkeypatch)

    assert asked == ["new", "new", "new"]
    assert {kind for (app, _), kind in ends(outcomes).items() if app != "hello"} == {"step_back"}
