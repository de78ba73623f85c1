"""What the page gets from the engine: snapshots without a round trip, and what was done as it happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.commands.page_file import write_page
from reconciler.engine.page_source import CommitBook, Past, read_past, snapshot_of_engine, snapshot_of_preview
from reconciler.engine.preview import preview
from reconciler.engine.recorder import Changes, Recorder, RecordingProgress
from reconciler.errors import HostUnreachable, UsageError
from reconciler.model.action import WaitHealthy
from reconciler.model.observed import Unreachable
from reconciler.model.options import Options
from reconciler.page.index import Index
from tests.decide.test_fleet import app
from tests.support.stepping import Stepping, engine_of, opened, stepping

__all__ = ["stepping"]
LINE = {
    "at": 100, "who": "anna", "commit": "c0", "from": "0", "to": "1", "actions": ["start"], "why": "version 0 → 1",
    "seconds": 3.5, "outcome": "converged", "reason": "",
}  # fmt: skip


def recording() -> tuple[Recorder, RecordingProgress]:
    recorder = Recorder(who="anna")
    return recorder, RecordingProgress(lambda event, **fields: None, terminal=False).record(recorder)


def test_a_rollout_is_seen_step_by_step_and_becomes_an_entry(stepping: Stepping) -> None:
    recorder, progress = recording()
    stepping.slow = lambda action: 0.05 if isinstance(action, WaitHealthy) else 0.0
    words: list[list[tuple[str, bool]]] = []

    async def run() -> None:
        engine = engine_of(opened(app("hello", ["a"])))
        engine.progress = progress
        engine.report = lambda fleet, outcomes, seconds: recorder.end_pass(outcomes, fleet.desired.revision)
        engine.begin_turn()
        work = asyncio.create_task(engine.run(until_rest=True))
        await stepping.doing("hello", "wait")
        progress.reporter("a", "hello")("healthy for 1 s")
        snapshot = snapshot_of_engine(engine, recorder.doing, tuple(recorder.entries), CommitBook(), None)
        words.append(
            [(f"{a.verb} {a.progress}".strip(), a.ended_epoch_seconds is None) for a in snapshot.doing["hello", "a"]]
        )
        assert Index(snapshot).counts == {"moving": 1}
        await work
        after = snapshot_of_engine(engine, recorder.doing, tuple(recorder.entries), CommitBook(), None)
        assert (Index(after).counts, after.doing) == ({"ok": 1}, {})

    asyncio.run(run())

    assert words == [[("install", False), ("start", False), ("wait healthy for 1 s", True)]]
    (entry,) = recorder.entries
    assert (entry.app, entry.host, entry.after, entry.commit, entry.who) == ("hello", "a", "1", "c1", "anna")
    assert entry.verbs == tuple(action.verb for action in entry.actions) == ("install", "start", "wait", "enable")
    assert entry.converged and not any(action.failed for action in entry.actions)


def test_a_snapshot_costs_no_look(stepping: Stepping) -> None:
    async def run() -> None:
        engine = engine_of(opened(app("hello", ["a"])))
        engine.begin_turn()
        await engine.run(until_rest=True)
        looks = dict(stepping.looks)
        for _ in range(100):
            snapshot_of_engine(engine, {}, (), CommitBook(), None)
        assert dict(stepping.looks) == looks

    asyncio.run(run())


def test_an_action_that_fails_is_shown_as_failed(stepping: Stepping) -> None:
    recorder, progress = recording()
    action = WaitHealthy("a", "hello", "why", "4000")
    with pytest.raises(RuntimeError), progress.action(action):
        raise RuntimeError

    assert [(each.verb, each.failed) for each in recorder.doing["hello", "a"]] == [("wait", True)]


def test_everyone_who_waits_for_a_change_hears_of_it() -> None:
    async def run() -> list[int]:
        changes = Changes()
        waiting = [asyncio.create_task(changes.after(0)) for _ in range(100)]
        late = asyncio.create_task(changes.after(5))
        await asyncio.sleep(0)
        changes.note()
        heard = await asyncio.gather(*waiting)
        assert not late.done()
        late.cancel()
        assert await changes.after(0) == 1
        return heard

    assert asyncio.run(run()) == [1] * 100


def test_progress_wakes_viewers_at_most_twice_a_second() -> None:
    recorder, progress = recording()
    with progress.action(WaitHealthy("a", "hello", "why", "4000")):
        before = recorder.changes.count
        for number in range(1000):
            progress.reporter("a", "hello")(f"{number}")

        assert recorder.changes.count - before <= 2
        assert recorder.doing["hello", "a"][-1].progress == "999"


def test_the_histories_of_the_hosts_are_read_and_a_silent_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_history(host: Any, site: Any, name: str) -> list[dict[str, Any] | None]:
        if host.name == "b":
            raise HostUnreachable("b", "no answer", "wait")
        return [{**LINE, "at": 50}, None, LINE]

    monkeypatch.setattr("reconciler.engine.page_source.read_history", read_history)

    past = asyncio.run(read_past(opened(app("hello", ["a", "b", "c"])), ["c"]))

    assert [(entry.host, entry.at_epoch_seconds, entry.why) for entry in past.entries] == [
        ("a", 100.0, "version 0 → 1"), ("a", 50.0, "version 0 → 1"),
    ]  # fmt: skip
    assert past.unread == ("b", "c")


def test_a_file_is_written_whole_or_not_at_all(
    stepping: Stepping, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def read_history(host: Any, site: Any, name: str) -> list[dict[str, Any] | None]:
        return [LINE]

    monkeypatch.setattr("reconciler.engine.page_source.read_history", read_history)
    stepping.hosts["b"] = Unreachable("b", "no answer", "switch it on")
    fleet = opened(app("hello", ["a"]), app("shop", ["b"]))

    async def write(path: Path) -> None:
        await write_page(path, fleet, await preview(fleet), Options())

    asyncio.run(write(tmp_path / "page.html"))
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        asyncio.run(write(tmp_path / "no/page.html"))

    assert "no answer" in html and "to do" in html and "version 0 → 1" in html
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert stepping.done == []


def test_a_look_shows_what_is_due_and_not_that_it_is_done(stepping: Stepping) -> None:
    fleet = opened(app("hello", ["a"]))

    async def look() -> dict[str, int]:
        shown = await preview(fleet)
        snapshot = snapshot_of_preview(fleet, shown, CommitBook(), Past(), "look")
        assert replace(snapshot, mode="watch") != snapshot
        return Index(snapshot).counts

    assert asyncio.run(look()) == {"todo": 1}
