"""A saved file or a commit wakes a watch; a program that only reads does not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.cli import read_options
from reconciler.commands import watch
from reconciler.desired_state.wake_on_change import watch_changes
from reconciler.engine.watch import Watch

NOTHING_SECONDS = 1.5  # a burst is told 0.2 s after it began


class Woken:
    def __init__(self) -> None:
        self.times = 0
        self.told: list[str] = []

    async def follow(self, folder: Path) -> None:
        async for _ in watch_changes(folder, self.told.append):
            self.times += 1

    async def until(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.times < times:
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[Woken]:
    """Start watching, and wait until a first change was noticed."""
    woken = Woken()
    task = asyncio.create_task(woken.follow(folder))
    async with asyncio.timeout(10):
        while not woken.times:
            (folder / "seen.yaml").write_text("")
            await asyncio.sleep(0.3)
    while woken.times:  # a burst of what was written here may still be on its way
        woken.times = 0
        await asyncio.sleep(1)
    yield woken
    task.cancel()


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The desired state in a repository, with a commit."""
    folder = tmp_path / "servers" / "desired-state"
    folder.mkdir(parents=True)
    (folder / "fleet.yaml").write_text("")
    git(tmp_path, "init", "-q", "servers")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin")
    return folder


def test_committing_an_edit_saved_long_ago_wakes_the_watch(folder: Path) -> None:
    async def story() -> None:
        async with watching(folder) as woken:
            git(folder, "add", "-A")
            git(folder, "commit", "-qm", "next")
            await woken.until(1)

    asyncio.run(story())


def test_reading_a_repository_does_not_wake_the_watch(folder: Path) -> None:
    """`git status` rewrites the index, and reconcile itself asks git at each pass."""

    async def story() -> None:
        async with watching(folder) as woken:
            git(folder, "add", "-A")
            git(folder, "status")
            await asyncio.sleep(NOTHING_SECONDS)
            assert woken.times == 0

    asyncio.run(story())


def test_a_commit_in_a_linked_work_tree_wakes_the_watch(folder: Path, tmp_path: Path) -> None:
    git(folder, "worktree", "add", "-q", "-b", "live", str(tmp_path / "live"))

    async def story() -> None:
        async with watching(tmp_path / "live/desired-state") as woken:
            git(tmp_path / "live", "commit", "-q", "--allow-empty", "-m", "next")
            await woken.until(1)

    asyncio.run(story())


def test_a_commit_wakes_the_watch_when_the_git_folder_is_elsewhere(tmp_path: Path) -> None:
    """As after `git init --separate-git-dir`: there, too, a commit wakes and `git status` does not."""
    folder = tmp_path / "servers"
    git(tmp_path, "init", "-q", "--separate-git-dir", str(tmp_path / "kept"), "servers")

    async def story() -> None:
        async with watching(folder) as woken:
            git(folder, "add", "-A")
            await asyncio.sleep(NOTHING_SECONDS)
            assert woken.times == 0
            git(folder, "commit", "-qm", "begin")
            await woken.until(1)

    asyncio.run(story())


def test_a_replaced_folder_is_watched_again(folder: Path) -> None:
    """As a checkout of another branch and back does."""

    async def story() -> None:
        async with watching(folder) as woken:
            shutil.rmtree(folder)
            await woken.until(1)
            folder.mkdir()
            await woken.until(2)
            await asyncio.sleep(1.5)
            before = woken.times
            (folder / "fleet.yaml").write_text("# again")
            await woken.until(before + 1)
            assert set(woken.told) <= {f"{folder} cannot be watched: No path was found."}

    asyncio.run(story())


def test_an_edit_saved_right_after_the_first_look_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_look(self: Watch) -> None:
        (folder / "fleet.yaml").write_text("saved: now\n")
        async with asyncio.timeout(10):
            await self.woken.wait()

    monkeypatch.setattr(Watch, "run", first_look)

    assert watch.run(read_options(["--desired-state", str(folder)])) == 0


def test_a_link_is_followed_when_its_target_changes(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    link = tmp_path / "desired-state"
    link.symlink_to("old")

    async def story() -> None:
        async with watching(link) as woken:
            link.unlink()
            link.symlink_to("new")
            await woken.until(1)
            woken.times = 0
            await asyncio.sleep(1)
            (tmp_path / "new/fleet.yaml").write_text("")
            await woken.until(1)

    asyncio.run(story())


def test_a_folder_created_later_is_watched_and_its_absence_reported_once(tmp_path: Path) -> None:
    async def story() -> None:
        woken = Woken()
        task = asyncio.create_task(woken.follow(tmp_path / "later"))
        await asyncio.sleep(2.5)
        assert (woken.times, len(woken.told)) == (0, 1)
        (tmp_path / "later").mkdir()
        await woken.until(1)
        task.cancel()

    asyncio.run(story())
