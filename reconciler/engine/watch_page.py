"""The page of a watch: what its engine knows, does and has done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from reconciler.clock import epoch_seconds
from reconciler.engine.page_source import CommitBook, Past, empty_snapshot, read_past, snapshot_of_engine
from reconciler.engine.recorder import Changes, Recorder, RecordingProgress
from reconciler.engine.watch import Watch
from reconciler.errors import ReconcileError, Unexpected
from reconciler.logs import log
from reconciler.model.observed import Unreachable
from reconciler.model.outcome import Outcome
from reconciler.page.snapshot import Entry, Snapshot
from reconciler.targets.open_fleet import OpenFleet


@dataclass
class WatchPage:
    """Gathers what the page shows beside what the engine knows. A viewer costs no round trip."""

    progress: RecordingProgress
    recorder: Recorder
    watch: Watch | None = None
    book: CommitBook = field(default_factory=CommitBook)
    past: Past | None = None
    refused: ReconcileError | None = None
    began_epoch_seconds: float = field(default_factory=epoch_seconds)
    learning: asyncio.Task[None] | None = None

    @property
    def changes(self) -> Changes:
        return self.recorder.changes

    def end_pass(self, opened: OpenFleet, outcomes: list[Outcome]) -> None:
        """Take in the end of a pass."""
        if self.watch and self.watch.who:
            self.recorder.who = self.watch.who.holder
        self.refused = opened.desired.refused
        self.recorder.end_pass(outcomes, opened.desired.revision)
        if self.learning is None or self.learning.done():
            self.learning = asyncio.create_task(self._learn(opened))

    def end_with_error(self, error: ReconcileError) -> None:
        """Take in that the desired state cannot be used."""
        self.refused = error
        self.changes.note()

    async def close(self) -> None:
        """End what is still being asked for the page.

        It must not be left to the end of the loop, which cancels every task at once: a program that is just being
        started then never ends for asyncio (CPython's `_connect_pipes` is one of these tasks).
        """
        if self.learning:
            self.learning.cancel()
            await asyncio.gather(self.learning, return_exceptions=True)

    def snapshot(self) -> Snapshot:
        """What is known now."""
        engine = self.watch.engine if self.watch else None
        if engine is None:
            return empty_snapshot("watch", self.refused)
        interval = self.watch.interval_seconds if self.watch else None
        past = self.past or Past()
        return snapshot_of_engine(
            engine, self.recorder.doing, self._history(past), self.book, self.refused,
            interval_seconds=interval, unread=past.unread,
        )  # fmt: skip

    def _history(self, past: Past) -> tuple[Entry, ...]:
        """What this process did, then what was done before it began: its own changes are in both."""
        older = [entry for entry in past.entries if entry.at_epoch_seconds < self.began_epoch_seconds]
        return (*self.recorder.entries, *older)

    async def _learn(self, opened: OpenFleet) -> None:
        """Ask git about a new commit, and, once, the hosts about what was done before this process began."""
        try:
            await self.book.learn(opened.desired)
            if self.past is None:
                self.past = Past()
                self.past = await read_past(opened, self._unreachable())
        except Exception as error:  # the page lacks it, the watch goes on
            log("page.incomplete", reason=str(Unexpected(error)))
        self.changes.note()

    def _unreachable(self) -> list[str]:
        engine = self.watch.engine if self.watch else None
        looks = engine.known.hosts if engine else {}
        return [host for host, look in looks.items() if isinstance(look, Unreachable)]
