"""The pages of a watch and of `reconcile ui`, over model hosts: what they show, and that looking changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from reconciler.engine.look_page import LookPage
from reconciler.engine.page_source import Past
from reconciler.engine.recorder import Recorder, RecordingProgress
from reconciler.engine.watch import Watch
from reconciler.engine.watch_page import WatchPage
from reconciler.errors import GitError
from reconciler.model.desired import Desired
from reconciler.model.options import Options
from reconciler.page.index import Index
from reconciler.targets.open_fleet import OpenFleet
from tests.decide.test_fleet import app
from tests.page.samples import HISTORY
from tests.support.stepping import WHO, Stepping, opened, stepping

__all__ = ["stepping"]


class Changing:
    """An origin of which a test chooses what it has."""

    def __init__(self, fleet: OpenFleet) -> None:
        self.fleet = fleet
        self.error: Exception | None = None

    async def read(self, **_: object) -> Desired:
        if self.error:
            raise self.error
        return self.fleet.desired

    async def why_behind(self, applied: str) -> str:
        return ""

    async def why_cut_short(self) -> None:
        return None

    def past_states(self) -> Any:
        raise NotImplementedError


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Changing:
    """What it has is worked out as it is, and no host has a history."""
    changing = Changing(opened(app("hello", ["a"])))

    async def work_out(desired: Desired, *_: object, **__: object) -> OpenFleet:
        return changing.fleet

    async def read_past(*_: object) -> Past:
        return Past(HISTORY[1:2])

    for module in ("watch", "look_page"):
        monkeypatch.setattr(f"reconciler.engine.{module}.work_out", work_out)
    for module in ("watch_page", "look_page"):
        monkeypatch.setattr(f"reconciler.engine.{module}.read_past", read_past)
    return changing


def test_a_look_is_repeated_and_changes_nothing(stepping: Stepping, origin: Changing) -> None:
    page = LookPage(origin, Options(interval=60))

    async def run() -> list[str]:
        said = [Index(page.snapshot()).headline[1]]
        work = asyncio.create_task(page.run())
        await page.changes.after(0)
        said.append(Index(page.snapshot()).headline[1])
        page.woken.set()
        await page.changes.after(1)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return said

    assert asyncio.run(run()) == ["Nothing is wanted yet", "1 app is not yet as wanted"]
    assert (stepping.looks["a"], stepping.done, stepping.closed) == (2, [], [])
    assert page.snapshot().history == HISTORY[1:2]


def test_a_desired_state_that_cannot_be_read_is_said_above_what_was_seen_last(
    stepping: Stepping, origin: Changing
) -> None:
    page = LookPage(origin, Options())

    async def run() -> None:
        await page.look()
        origin.error = GitError("git does not answer", "start it")
        await page.look()

    asyncio.run(run())

    refusal = page.snapshot().refusal
    assert refusal is not None and (refusal.reason, refusal.next_step) == ("git does not answer", "start it")
    assert Index(page.snapshot()).counts == {"todo": 1}


def watch_of(origin: Changing) -> WatchPage:
    recorder = Recorder()
    page = WatchPage(RecordingProgress(lambda event, **fields: None, terminal=False).record(recorder), recorder)
    page.watch = Watch(
        origin, lambda owner: replace(WHO, owner=owner), page.progress,
        lambda fleet, outcomes, seconds: page.end_pass(fleet, outcomes), page.end_with_error, 60,
    )  # fmt: skip
    return page


def test_a_watch_shows_what_it_did_and_then_what_was_done_before(stepping: Stepping, origin: Changing) -> None:
    page = watch_of(origin)
    assert page.watch is not None

    async def run() -> None:
        assert page.watch is not None
        assert Index(page.snapshot()).rows == []
        work = asyncio.create_task(page.watch.run())
        while not page.recorder.entries or page.past is None or not page.past.entries:
            await page.changes.after(page.changes.count)
        page.watch.stop()
        await work
        await page.close()

    asyncio.run(run())

    snapshot = page.snapshot()
    assert [(entry.app, entry.after) for entry in snapshot.history] == [("hello", "1"), ("blog", "7.1.3")]
    assert (Index(snapshot).headline, snapshot.commit.revision) == (
        ("good", "1 app on 1 host: everything is as wanted"),
        "c1",
    )
    assert snapshot.looked_at.keys() == {"a"}


def test_viewers_of_a_quiet_watch_cost_no_look(stepping: Stepping, origin: Changing) -> None:
    page = watch_of(origin)

    async def run() -> None:
        assert page.watch is not None
        work = asyncio.create_task(page.watch.run())
        while page.watch.last_good_seconds is None:
            await page.changes.after(page.changes.count)
        looks = dict(stepping.looks)
        for _ in range(200):
            Index(page.snapshot())
        assert dict(stepping.looks) == looks
        page.watch.stop()
        await work
        await page.close()

    asyncio.run(run())


def test_a_refused_commit_is_shown_until_it_is_mended(stepping: Stepping, origin: Changing) -> None:
    page = watch_of(origin)
    origin.error = GitError("commit c2 is not signed", "sign it")

    async def run() -> None:
        assert page.watch is not None
        work = asyncio.create_task(page.watch.run())
        await page.changes.after(0)
        assert Index(page.snapshot()).headline == ("bad", "The desired state cannot be used")
        origin.error = None
        page.watch.wake()
        while not page.recorder.entries:
            await page.changes.after(page.changes.count)
        assert page.snapshot().refusal is None
        page.watch.stop()
        await work
        await page.close()

    asyncio.run(run())
