"""A shallow clone changes nothing: it cannot tell an old commit from a new one, nor which apps were removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.cli import main, read_options
from reconciler.desired_state.git.commit import find_repository
from reconciler.desired_state.git.history import is_shallow, root_commit, why_behind
from reconciler.desired_state.load import load
from reconciler.desired_state.origin import Origin, origin_of
from reconciler.model.options import Options
from reconciler.targets.open_fleet import missing_history
from tests.engine.test_ancestry import git

HELLO = "app: hello\nversion: '{}'\nartifact: {{source: x.tgz}}\nhosts: [nobody@127.0.0.1:1]\nports: [4000, 4001]\n"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with three commits."""
    folder = tmp_path / "upstream"
    (folder / "desired-state/apps").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "uploadpack.allowFilter", "true")
    for number in range(3):
        publish(folder, str(number))
    return folder


def publish(folder: Path, version: str) -> str:
    (folder / "desired-state/apps/hello.yaml").write_text(HELLO.format(version))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", version)
    return git(folder, "rev-parse", "HEAD")


def clone(upstream: Path, *words: str) -> Path:
    git(upstream.parent, "clone", "-q", *words, f"file://{upstream}", "clone")
    return upstream.parent / "clone"


def arguments(folder: Path, *words: str) -> Options:
    return read_options(["--desired-state", str(folder / "desired-state"), *words])


def read(options: Options) -> Origin:
    origin = origin_of(options)
    asyncio.run(origin.read())
    return origin


def notes(folder: Path, *words: str) -> list[str]:
    return asyncio.run(missing_history(read(arguments(folder, *words)), may_lack=True))


@pytest.mark.parametrize("words", [("--once",), ("rollback", "hello", "--now"), ("--once", "--ref", "HEAD")])
def test_nothing_is_changed_by_a_shallow_clone(
    upstream: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 before any host is asked, with the command that repairs it for each origin of such a clone."""
    folder = clone(upstream, "--depth=1")

    assert main(["--desired-state", str(folder / "desired-state"), *words]) == 2

    told = capsys.readouterr().err
    assert told.startswith(f"{folder} is a shallow clone: it does not show whether a newer commit was applied already")
    for line in ("git fetch --unshallow", "fetch-depth: 0", 'GIT_DEPTH: "0"', "--allow-step-back"):
        assert line in told


def test_the_suggested_command_repairs_a_shallow_clone(upstream: Path) -> None:
    folder = clone(upstream, "--depth=1")
    assert len(notes(folder)) == 1

    git(folder, "fetch", "-q", "--unshallow")
    assert notes(folder) == []


def test_a_fetch_depth_is_a_problem_only_if_the_history_is_longer(upstream: Path) -> None:
    folder = clone(upstream, "--depth=4")
    assert notes(folder) == []

    for number in range(3):
        publish(upstream, f"more{number}")
    git(folder, "fetch", "-q", "--depth=4")
    assert len(notes(folder)) == 1


def test_a_plan_of_a_shallow_clone_says_what_it_cannot_know(upstream: Path) -> None:
    folder = clone(upstream, "--depth=1")

    (note,) = notes(folder)
    assert "nor which apps were removed" in note
    assert main(["validate", "--desired-state", str(folder / "desired-state")]) == 0


def test_a_linked_work_tree_of_a_shallow_clone_is_shallow_too(upstream: Path) -> None:
    """Otherwise the commit at the cut would count as the first of the repository."""
    folder = clone(upstream, "--depth=1")
    git(folder, "worktree", "add", "-q", str(folder.parent / "tree"), "HEAD")
    tree = find_repository(folder.parent / "tree")
    assert tree is not None

    assert asyncio.run(root_commit(tree)) == ""
    assert len(notes(tree)) == 1


def test_only_commits_need_a_history(upstream: Path) -> None:
    """Plain files have none, and a followed repository fetches what it needs."""
    folder = clone(upstream, "--depth=1")

    assert notes(folder, "--working-tree") == []


def test_a_blobless_clone_counts_as_complete(upstream: Path) -> None:
    """As with `filter: blob:none`."""
    first = git(upstream, "rev-list", "--max-parents=0", "HEAD")
    folder = clone(upstream, "--filter=blob:none")
    applied = publish(upstream, "9")

    assert notes(folder) == []
    assert load(folder / "desired-state").apps[0].version == "2"
    assert asyncio.run(root_commit(folder)) == first
    assert "is not in this clone" in asyncio.run(why_behind(folder, git(folder, "rev-parse", "HEAD"), applied))


def test_the_operator_can_allow_a_pass_without_history(upstream: Path) -> None:
    folder = clone(upstream, "--depth=1")
    origin = read(arguments(folder, "--once", "--allow-step-back"))

    (note,) = asyncio.run(missing_history(origin, may_lack=True))
    assert "removes nothing unless" in note
    assert asyncio.run(root_commit(folder)) == ""
    assert asyncio.run(origin.why_behind("0" * 40)) == ""


def test_a_checkout_reused_by_ci_is_not_a_step_back_on_purpose(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job checks its commit out over the previous one, so the reflog contains them all."""
    old, applied = git(upstream, "rev-parse", "HEAD~1"), git(upstream, "rev-parse", "HEAD")
    folder = clone(upstream)
    git(folder, "checkout", "-q", old)

    monkeypatch.delenv("CI", raising=False)
    assert asyncio.run(why_behind(folder, old, applied)) == ""
    monkeypatch.setenv("CI", "true")
    assert f"is older than {applied[:7]}" in asyncio.run(why_behind(folder, old, applied))


def test_a_clone_that_git_cannot_judge_does_not_count_as_complete(upstream: Path) -> None:
    folder = clone(upstream)
    assert not asyncio.run(is_shallow(folder))

    (folder / ".git/HEAD").write_text("nonsense")
    with pytest.raises(Exception, match="git cannot read"):
        asyncio.run(is_shallow(folder))
