"""The lines of a terminal that move: which works there are, and when to draw them."""

from __future__ import annotations

import asyncio
from typing import Final, TextIO

from reconciler.clock import now_seconds
from reconciler.engine.live_region import LiveRegion
from reconciler.engine.progress_lines import Work, progress_lines
from reconciler.model.transfer import Transfer
from reconciler.terminal import paint_for, size_of

DRAW_SECONDS: Final = 0.1
TICK_SECONDS: Final = 0.5  # so that the seconds of a work go on although it says nothing
NOTE_SECONDS: Final = 5.0  # a note without an action ends by itself
MOST_LINES: Final = 20


class LiveProgress:
    """What is under way, drawn on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._region, self._paint = stream, LiveRegion(stream), paint_for(stream)
        self._bar = "█░" if (stream.encoding or "").lower().replace("-", "") == "utf8" else "#."
        self._works: dict[tuple[str, str], Work] = {}
        self._drawn_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, host: str, app: str, verb: str, subject: str) -> None:
        """Show a new action of this app; it stays where a note of the app was."""
        now = now_seconds()
        self._works[host, app] = Work(host, app, now, verb, subject)
        self._draw(now)

    def report(self, host: str, app: str, news: str | Transfer) -> None:
        """Show how far the action of this app is, or why it waits."""
        now = now_seconds()
        self._works.setdefault((host, app), Work(host, app, now)).report(news, now)
        self._draw(now)

    def end(self, host: str, app: str) -> None:
        """Take the line of this app away."""
        self._works.pop((host, app), None)
        if not self._works:
            self.close()
        else:
            self._region.show(self._lines(now_seconds()))

    def close(self) -> None:
        """Give the screen back."""
        self._works.clear()
        self._region.show(())
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _draw(self, now: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        if now - self._drawn_seconds >= DRAW_SECONDS:
            self._drawn_seconds = now
            self._region.show(self._lines(now))

    def _tick(self) -> None:
        self._timer = None
        now = now_seconds()
        ended = [key for key, work in self._works.items() if not work.verb and now - work.noted_seconds > NOTE_SECONDS]
        for key in ended:
            del self._works[key]
        if self._works:
            self._draw(now)
        else:
            self.close()

    def _lines(self, now: float) -> list[str]:
        width, rows = size_of(self._stream)
        most = max(2, min(MOST_LINES, rows * 2 // 3))
        return progress_lines([*self._works.values()], now, width, most, self._paint, self._bar)
