"""Progress of a pass: a live line in a terminal, and a log event for each finished action."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from reconciler.clock import now_seconds
from reconciler.model.action import AnyAction


class Log(Protocol):
    """Log an event, named in the past tense, with its fields."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Progress:
    """Report actions as they run. In a terminal, one line shows how far the current action is."""

    def __init__(self, log: Log, *, terminal: bool) -> None:
        self._log = log
        self._terminal = terminal
        self._shown_at = 0.0

    def reporter(self, host: str, app: str) -> Callable[[str], None]:
        """Return a function that shows how far the current action of this app is."""

        def report(text: str) -> None:
            now = now_seconds()
            if self._terminal and now - self._shown_at > 0.1:
                self._shown_at = now
                sys.stderr.write(f"\r\033[K  {host}  {app}: {text}")
                sys.stderr.flush()

        return report

    @contextmanager
    def action(self, action: AnyAction) -> Iterator[None]:
        """Context of one action: show that it began (in a terminal), and log its success and its duration."""
        started = now_seconds()
        self.reporter(action.host, action.app)(f"{action.verb} {action.subject}")
        try:
            yield
        except BaseException:
            self._clear()
            raise
        self._clear()
        self._log(
            f"{action.verb}.finished",
            host=action.host,
            app=action.app,
            subject=action.subject,
            reason=action.reason,
            seconds=round(now_seconds() - started, 2),
        )

    def _clear(self) -> None:
        self._shown_at = 0.0
        if self._terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
