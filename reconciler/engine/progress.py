"""Progress of a pass: lines that move in a terminal, and a log event for each finished action.

Without a terminal, a transfer that takes long is logged now and then: at most every 10 s, and then only after another
quarter of it, or a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from reconciler.clock import now_seconds
from reconciler.model.action import AnyAction
from reconciler.model.transfer import ReportProgress, Transfer

if TYPE_CHECKING:
    from reconciler.engine.live_progress import LiveProgress

QUIET_SECONDS = 10.0
LONGEST_SILENCE_SECONDS = 60.0
QUIET_FRACTION = 0.25


class Log(Protocol):
    """Log an event, named in the past tense, with its fields."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Observer(Protocol):
    """Takes note of the start and the end of each action."""

    def begin(self, action: AnyAction) -> None: ...

    def end(self, action: AnyAction, error: BaseException | None) -> None: ...


class Progress:
    """Report actions as they run. In a terminal, one line per app on a host shows how far its action is."""

    def __init__(self, log: Log, *, terminal: bool, observer: Observer | None = None) -> None:
        self._log = log
        self._observer = observer
        self._terminal = terminal
        self._live: LiveProgress | None = None

    def reporter(self, host: str, app: str) -> ReportProgress:
        """Return a function that shows how far the current action of this app is."""
        if self._terminal:
            return lambda news: self._moving().report(host, app, news)
        return _SparseLog(self._log, host, app).report

    @contextmanager
    def action(self, action: AnyAction, edits: Sequence[str] = (), serves: str = "") -> Iterator[None]:
        """Context of one action: show that it began (in a terminal), and log its success and its duration.

        `edits` are the lines of a file that it puts back; `serves` is the version that visitors get once it is done.
        """
        started = now_seconds()
        if self._terminal:
            self._moving().begin(action.host, action.app, action.verb, action.subject)
        if self._observer:
            self._observer.begin(action)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            if self._live:
                self._live.end(action.host, action.app)
            if self._observer:
                self._observer.end(action, error)
        self._log(
            f"{action.verb}.finished",
            host=action.host,
            app=action.app,
            subject=action.subject,
            reason=action.reason,
            seconds=round(now_seconds() - started, 2),
            **({"diff": [*edits]} if edits else {}),
            **({"serves": serves} if serves else {}),
        )

    def close(self) -> None:
        """Give the screen back."""
        if self._live:
            self._live.close()

    def _moving(self) -> LiveProgress:
        from reconciler.engine.live_progress import LiveProgress  # nothing moves in most runs

        self._live = self._live or LiveProgress(sys.stderr)
        return self._live


class _SparseLog:
    """Logs how far a transfer is, rarely."""

    def __init__(self, log: Log, host: str, app: str) -> None:
        self._log, self._where = log, {"host": host, "app": app}
        self._verb, self._began_seconds, self._began_bytes = "", 0.0, 0
        self._logged_seconds, self._logged_fraction = 0.0, 0.0

    def report(self, news: str | Transfer) -> None:
        if isinstance(news, str):
            return
        now, fraction = now_seconds(), news.fraction or 0.0
        if news.verb != self._verb:
            self._verb, self._began_seconds, self._began_bytes = news.verb, now, news.done_bytes
            self._logged_seconds, self._logged_fraction = now, fraction
        silence = now - self._logged_seconds
        if silence < QUIET_SECONDS or (
            silence < LONGEST_SILENCE_SECONDS and fraction - self._logged_fraction < QUIET_FRACTION
        ):
            return
        self._logged_seconds, self._logged_fraction = now, fraction
        speed = (news.done_bytes - self._began_bytes) / (now - self._began_seconds)
        total = {"total_bytes": news.total_bytes, "percent": int(100 * fraction)} if news.total_bytes else {}
        self._log(
            f"{news.verb}.advanced",
            **self._where,
            done_bytes=news.done_bytes,
            **total,
            bytes_per_second=round(speed),
        )
