"""What the engine did since this process began, for the page: the actions under way, and the last changes.

It watches and changes nothing: it is the engine's `Progress`, and it is told the end of each pass.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from reconciler.apply.history import ROLLOUT_VERBS
from reconciler.clock import epoch_seconds, now_seconds
from reconciler.engine.progress import Progress
from reconciler.model.action import AnyAction, Converged
from reconciler.model.fleet import Key
from reconciler.model.outcome import Outcome
from reconciler.model.transfer import ReportProgress, Transfer
from reconciler.page.snapshot import ActionSeen, Entry

MOST_ENTRIES = 1000
MOST_ACTIONS = 100  # of one app on one host, between two ends
QUIETEST_SECONDS = 0.5  # between two changes that only say how far an action is


class Changes:
    """Counts changes, and wakes everyone who waits for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def note(self) -> None:
        """Something changed."""
        self.count += 1
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        self._waiting.clear()

    async def after(self, count: int) -> int:
        """Wait until more than `count` changes were noted; return how many were."""
        while self.count <= count:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        return self.count


@dataclass
class Recorder:
    """The actions and entries. `who` holds the lease in our name, for the entries."""

    changes: Changes = field(default_factory=Changes)
    who: str = ""
    doing: dict[Key, list[ActionSeen]] = field(default_factory=dict)
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MOST_ENTRIES))
    told_seconds: float = 0.0

    def begin(self, action: AnyAction) -> None:
        seen = ActionSeen(action.verb, action.subject, action.reason, epoch_seconds(), drift=action.drift)
        actions = self.doing.setdefault((action.app, action.host), [])
        actions.append(seen)
        del actions[:-MOST_ACTIONS]
        self.changes.note()

    def end(self, action: AnyAction, *, failed: bool) -> None:
        self._change_last((action.app, action.host), ended_epoch_seconds=epoch_seconds(), failed=failed)
        self.changes.note()

    def note_progress(self, key: Key, text: str) -> None:
        """Keep how far the last action is. Viewers hear of it at most twice a second."""
        if not self._change_last(key, progress=text):
            return
        now = now_seconds()
        if now - self.told_seconds >= QUIETEST_SECONDS:
            self.told_seconds = now
            self.changes.note()

    def _change_last(self, key: Key, **changes: object) -> bool:
        actions = self.doing.get(key)
        if not actions or actions[-1].ended_epoch_seconds is not None:
            return False
        actions[-1] = replace(actions[-1], **changes)  # type: ignore[arg-type]
        return True

    def end_pass(self, outcomes: Iterable[Outcome], commit: str | None) -> None:
        """Turn the actions of the apps that are at rest into entries."""
        for outcome in outcomes:
            key = outcome.end.app, outcome.end.host
            actions = tuple(self.doing.pop(key, ()))
            if outcome.actions:
                self.entries.appendleft(_entry(outcome, actions, self.who, commit))
        self.changes.note()


def _entry(outcome: Outcome, actions: tuple[ActionSeen, ...], who: str, commit: str | None) -> Entry:
    end, converged = outcome.end, isinstance(outcome.end, Converged)
    verbs = tuple(action.verb for action in outcome.actions)
    chosen = next((action for action in outcome.actions if action.verb in ROLLOUT_VERBS), outcome.actions[0])
    return Entry(
        at_epoch_seconds=epoch_seconds(),
        host=end.host,
        app=end.app,
        who=who,
        commit=commit,
        before=outcome.before or "",
        after=end.version if isinstance(end, Converged) else end.serving or "",
        why=chosen.reason,
        seconds=outcome.seconds,
        converged=converged,
        outcome="converged" if converged else "not converged",
        reason="" if isinstance(end, Converged) else end.reason,
        verbs=verbs,
        actions=actions,
    )


class RecordingProgress(Progress):
    """Progress that the page shows as well."""

    recorder: Recorder

    def record(self, recorder: Recorder) -> RecordingProgress:
        """Record there from now on, and return this."""
        self.recorder = recorder
        return self

    def reporter(self, host: str, app: str) -> ReportProgress:
        """Return a function that shows how far the current action of this app is."""
        report = super().reporter(host, app)

        def both(news: str | Transfer) -> None:
            report(news)
            text = news if isinstance(news, str) else f"{news.verb} {news.text}"
            self.recorder.note_progress((app, host), text)

        return both

    @contextmanager
    def action(self, action: AnyAction, edits: Sequence[str] = (), serves: str = "") -> Iterator[None]:
        """Context of one action: what `Progress` does, and its begin and end in the record."""
        self.recorder.begin(action)
        failed = True
        try:
            with super().action(action, edits, serves):
                yield
            failed = False
        finally:
            self.recorder.end(action, failed=failed)
