"""The real engine, as the simulator uses it. When its entry changes, this file does, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from reconciler.desired_state.load import load
from reconciler.engine.converge import converge
from reconciler.engine.progress import Progress
from reconciler.engine.watch import Watch
from reconciler.errors import ReconcileError
from reconciler.host.transport import Transport
from reconciler.model.action import Blocked, Converged
from reconciler.model.desired import Desired
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet, work_out


@dataclass(frozen=True)
class Ended:
    """How a pass ended for one app on one host, in the simulator's words."""

    app: str
    host: str
    converged: bool
    version: str
    reason: str
    kind: str
    actions: tuple[str, ...]


Log = Callable[..., None]


LINKS: ContextVar[dict[str, Transport]] = ContextVar("links")
"""Of the controller that works in this task."""


@contextmanager
def engine_of(simulation: Any) -> Iterator[None]:
    """What the engine asks of the machine it runs on, answered by the simulation."""
    with (
        mock.patch("reconciler.observe.look.is_dead", simulation.is_dead),
        mock.patch("reconciler.targets.open_fleet.open_host", lambda name, spec, **_: LINKS.get()[name]),
    ):
        yield


async def converge_once(
    folder: Path,
    links: dict[str, Transport],
    token: str,
    log: Log,
    *,
    wait_lock_seconds: float = 0.0,
    allow_prune: bool = False,
    origin: Any = None,
) -> list[Ended]:
    """`reconcile --once` over the desired state in the folder. Raises ReconcileError when that cannot be used."""
    LINKS.set(links)
    origin = origin or FolderOrigin(folder)
    opened = await work_out(await origin.read(), None, None)
    opened.origin = origin
    who = Controller(token, f"sim@{token}", opened.owner, opened.desired.revision)
    progress = Progress(log, terminal=False)
    outcomes = await converge(opened, progress, who, wait_lock_seconds=wait_lock_seconds, allow_prune=allow_prune)
    return [ended(outcome) for outcome in outcomes]


def ended(outcome: Outcome) -> Ended:
    end = outcome.end
    actions = tuple(action.verb for action in outcome.actions)
    if isinstance(end, Converged):
        return Ended(end.app, end.host, True, end.version, "", "", actions)
    assert isinstance(end, Blocked)
    return Ended(end.app, end.host, False, end.serving or "", end.reason, end.kind, actions)


@dataclass
class FolderOrigin:
    """The desired state as files in a folder, for a watch."""

    folder: Path

    async def read(self) -> Desired:
        return load(self.folder)

    async def why_behind(self, applied: str) -> str:
        return ""

    async def why_cut_short(self) -> None:
        return None


@dataclass
class Clone(FolderOrigin):
    """A controller's clone of a repository of which each commit is a folder. `pinned` is a clone that stays behind."""

    newest: Callable[[], int] = lambda: 0
    pinned: int | None = None
    number: int = 0
    fails: bool = False  # what was read last cannot be used

    async def read(self) -> Desired:
        self.number = self.newest() if self.pinned is None else self.pinned
        self.fails = True
        desired = load(self.folder / f"commit-{self.number}")
        self.fails = False
        return replace(desired, revision=f"{self.number:040x}")

    async def why_behind(self, applied: str) -> str:
        return "" if int(applied, 16) <= self.number else "a newer commit was applied"


@dataclass
class Watching:
    """A watch under way."""

    watch: Watch
    passes: list[list[Ended]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """Nothing of it goes on."""
        for task in (self.task, self.watch.running):
            if task:
                task.cancel()

    def wake(self) -> None:
        self.watch.wake()

    @property
    def ready(self) -> bool:
        return not self.watch.troubled and self.watch.last_good_seconds is not None


@asynccontextmanager
async def watching(
    origin: Any,
    links: dict[str, Transport],
    token: str,
    log: Log,
    interval_seconds: float = 60.0,
    *,
    allow_prune: bool = False,
    reported: Callable[[list[Ended]], None] = lambda ends: None,
) -> AsyncIterator[Watching]:
    """`reconcile` without --once, until the block ends."""

    def report(opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        state.passes.append([ended(outcome) for outcome in outcomes])
        reported(state.passes[-1])

    def report_error(error: ReconcileError) -> None:
        state.errors.append(str(error))

    def who(owner: str) -> Controller:
        return Controller(token, f"sim@{token}", owner)

    watch = Watch(origin, who, Progress(log, terminal=False), report, report_error, interval_seconds, allow_prune)
    state = Watching(watch)
    LINKS.set(links)
    state.task = asyncio.create_task(watch.run())
    try:
        yield state
    finally:
        watch.stop()
        with suppress(asyncio.CancelledError):
            await state.task
