"""`history --diff` and the commits that `status` names: what git says of commits that hosts have run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.commands.history_diffs import steps_between, steps_text
from reconciler.commands.waiting_commits import waiting_commits, waiting_json, waiting_text
from reconciler.desired_state.load import load
from reconciler.engine.preview import Preview
from reconciler.model.desired import Desired
from reconciler.model.observed import ObservedApp, ObservedHost, Unreachable
from reconciler.targets.open_fleet import OpenFleet
from tests.support.repository import Repository, app


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository.make(tmp_path / "repository")
    monkeypatch.chdir(made.root)
    return made


def desired() -> Desired:
    return load(Path("desired-state"))


def entry(commit: str | None, host: str = "web1") -> dict[str, Any]:
    return {"host": host, "commit": commit}


def text_of(*entries: dict[str, Any], of: Desired | None = None) -> str:
    return steps_text(asyncio.run(steps_between(of or desired(), "shop", entries)))


def test_each_step_of_a_history_names_its_commits_and_what_changed(repository: Repository) -> None:
    first = repository.commit(app("shop", env={"A": "secret-value"}), app("other", ports=[]))
    repository.commit(app("shop", env={"A": "secret-value"}), app("other", "2.0", ports=[]), message="Not of shop")
    second = repository.commit(app("shop", "1.1", env={"A": "new-value"}), message="Ship it")

    text = text_of(entry(first), entry(first, "web2"), entry(second, "web2"), entry(second))

    assert text.startswith(
        f"\ncommit {first[:7]} → {second[:7]}: 1 commit of this app\n"
        f"  {second[:7]}  Ship it\n"
        "  version 1.0 → 1.1\n"
        "  env A changed\n"
        "shop on web1, web2:\n"
        "  --- shop.env (names only)\n"
    )
    assert text.count("commit ") == 2  # one step, although two hosts took it
    assert "-value" not in text
    assert "Not of shop" not in text


def test_a_step_back_says_so(repository: Repository) -> None:
    first = repository.commit(app("shop"))
    second = repository.commit(app("shop", "1.1"), message="Ship it")

    text = text_of(entry(second), entry(first))

    assert f"commit {second[:7]} → {first[:7]}: back over 1 commit of this app\n  {second[:7]}  Ship it\n" in text
    assert "version 1.1 → 1.0" in text


def test_a_commit_that_the_clone_lacks_is_named(repository: Repository) -> None:
    known = repository.commit(app("shop"))

    text = text_of(entry("1" * 40), entry(None), entry(known))

    assert f"commit 1111111 → {known[:7]}: commit 1111111 or {known[:7]} is not in this clone: git fetch" in text


def test_files_without_git_have_no_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Repository(tmp_path).write(app("shop"))

    text = text_of(entry("1" * 40), entry("2" * 40), of=load(Path("desired-state"), working_tree=True))

    assert "the desired state is not read from a git repository" in text


def test_a_hostile_commit_of_a_host_is_never_a_word_for_git(repository: Repository) -> None:
    known = repository.commit(app("shop"))

    assert "is not in this clone" in text_of(entry("--output=x"), entry(known))
    assert not (repository.root / "x").exists()


def waiting(commits: dict[str, str | None], *unready: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    """What status tells, with hosts that run these commits of shop."""
    looks = {host: ObservedHost(host, apps={"shop": ObservedApp(commit=commit)}) for host, commit in commits.items()}
    opened, shown = OpenFleet(desired()), Preview({**looks, "lost": Unreachable("lost", "no answer")}, {})
    found = asyncio.run(waiting_commits(opened, shown, unready))
    return waiting_text(found), waiting_json(found.get(("shop", "web1")))


def test_status_names_the_commits_that_wait(repository: Repository) -> None:
    first = repository.commit(app("shop"))
    repository.commit(app("shop"), app("other", ports=[]), message="Another app")
    second = repository.commit(app("shop", "1.1"), message="Ship \x1b[31mit")
    third = repository.commit(app("shop", "1.2"), message="Ship more")

    text, row = waiting({"web1": first, "web2": second}, ("shop", "web1"), ("shop", "web2"), ("shop", "lost"))

    assert text == (
        "commits that wait:\n"
        f"  {third[:7]}  Ship more  (shop on web1, web2)\n"
        f"  {second[:7]}  Ship \\x1b[31mit  (shop on web1)\n"
    )
    assert row["commits_in_all"] == 2
    assert [each["id"] for each in row["commits"]] == [third, second]


def test_nothing_waits_where_the_newest_commit_runs_or_none_is_known(repository: Repository) -> None:
    only = repository.commit(app("shop"))

    assert waiting({"web1": only, "web2": None, "web3": "2" * 40}, *(("shop", f"web{n}") for n in (1, 2, 3))) == (
        "",
        {},
    )


def test_the_commits_that_wait_are_bounded(repository: Repository) -> None:
    first = repository.commit(app("shop"))
    for number in range(15):
        repository.commit(app("shop", f"1.{number}.1"), message=f"Number {number}")

    text, row = waiting({"web1": first}, ("shop", "web1"))

    assert (len(row["commits"]), row["commits_in_all"]) == (10, 15)
    assert text.endswith("  … and 5 more\n")


def test_a_folder_behind_a_link_is_found(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = repository.commit(app("shop")), repository.commit(app("shop", "1.1"))
    (tmp_path / "link").symlink_to(repository.root / "desired-state")
    monkeypatch.chdir(tmp_path)

    assert "version 1.0 → 1.1" in text_of(entry(first), entry(second), of=load(Path("link")))


def test_a_mirror_is_asked_as_well(repository: Repository, tmp_path: Path) -> None:
    first = repository.commit(app("shop"))
    second = repository.commit(app("shop", "1.1"), message="Ship it")
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "mirror.git"))
    state = replace(desired(), mirror=tmp_path / "mirror.git", inside="desired-state", folder=tmp_path / "mirror.git")

    assert "version 1.0 → 1.1" in text_of(entry(first), entry(second), of=state)
