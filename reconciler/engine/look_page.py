"""The page of `reconcile ui`: looks at the fleet at an interval, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from reconciler.desired_state.origin import Origin
from reconciler.engine.page_source import CommitBook, Past, empty_snapshot, read_past, snapshot_of_preview
from reconciler.engine.preview import Preview, preview
from reconciler.engine.recorder import Changes
from reconciler.errors import InvalidDesiredState, ReconcileError, Unexpected
from reconciler.logs import log
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.options import Options
from reconciler.page.snapshot import Snapshot
from reconciler.targets.open_fleet import OpenFleet, close, work_out


@dataclass
class LookPage:
    """The last look. It takes no lease and no lock, and writes nothing on a host."""

    origin: Origin
    options: Options
    changes: Changes = field(default_factory=Changes)
    opened: OpenFleet | None = None
    shown: Preview | None = None
    book: CommitBook = field(default_factory=CommitBook)
    past: Past = field(default_factory=Past)
    refused: ReconcileError | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    latest: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """What the last look showed."""
        return self.latest or empty_snapshot("look", self.refused)

    async def run(self) -> None:
        """Look at once, and again after each interval and each change of the desired state, until cancelled."""
        try:
            while True:
                self.woken.clear()
                await self.look()
                try:
                    async with asyncio.timeout(self.options.interval):
                        await self.woken.wait()
                except TimeoutError:
                    continue
        finally:
            if self.opened:
                await close(self.opened)

    async def look(self) -> None:
        """Look once. An error is shown on the page, above what was seen last."""
        try:
            await self._look()
        except ReconcileError as error:
            self._refuse(error)
        except Exception as error:
            self._refuse(Unexpected(error))
        self.changes.note()

    def _refuse(self, error: ReconcileError) -> None:
        if str(error) != str(self.refused):
            log("look.failed", reason=str(error), next=error.next_step)
        self.refused = error
        if self.latest:
            self.latest = replace(self.latest, refusal=empty_snapshot("look", error).refusal)

    async def _look(self) -> None:
        desired = await self.origin.read(valid_only=True)
        options, before = self.options, self.opened
        opened = await work_out(desired, options.app, options.host, before, remote=options.repo, shard=options.shard)
        opened.origin = self.origin
        self.opened = opened
        if before:
            await close(before, opened)
        shown = await preview(opened, allow_prune=options.allow_prune)
        await self.book.learn(desired)
        if self.shown is None or _traces(shown) != _traces(self.shown):  # what changed is in the histories by now
            self.past = await read_past(opened, _unreachable(shown))
        self.shown, self.refused = shown, InvalidDesiredState(desired.invalid) if desired.invalid else None
        self.latest = snapshot_of_preview(
            opened, shown, self.book, self.past, "look", interval_seconds=options.interval,
            allow_prune=options.allow_prune, refused=self.refused,
        )  # fmt: skip


def _unreachable(shown: Preview) -> list[str]:
    return [host for host, look in shown.hosts.items() if isinstance(look, Unreachable)]


def _traces(shown: Preview) -> dict[Key, object]:
    """What differs after each change of an app: its commit, and what its slots run."""
    seen: Iterable[ObservedHost] = (look for look in shown.hosts.values() if isinstance(look, ObservedHost))
    return {
        (name, look.host): (app.commit, tuple((s.name, s.running, s.invocation) for s in app.slots))
        for look in seen
        for name, app in look.apps.items()
    }
