"""Finds the news: compares the state now with the last *reported* state. Pure; the time is passed in.

Because of that comparison, a notice that could not be delivered is not lost, and a state that comes and goes between
two notices causes none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.notify.problems import QUIET, TOLD_ONCE
from reconciler.notify.states import State

if TYPE_CHECKING:
    from reconciler.model.notify import Event

Key = tuple[str, str]  # app, host
DESIRED_STATE: Final = ("", "")  # the key of the desired state as a whole

DAY_SECONDS: Final = 24 * 3600.0
# So many notices a day about one app on one host are sent at once; each further one waits twice as long as the last.
FREE_A_DAY: Final = 4
FIRST_WAIT_SECONDS: Final = 600.0


@dataclass(frozen=True)
class LastReport:
    """The last reported (or, without a subscriber, last seen) state, its start, and the times of its notices."""

    state: State
    since: float
    times: tuple[float, ...] = ()


@dataclass(frozen=True)
class Notice:
    """One piece of news about one app on one host. The same event always has the same text."""

    event: Event
    app: str
    host: str
    state: State
    since: float  # epoch seconds; never part of the text
    reminder: bool = False
    flapping: bool = False

    @property
    def text(self) -> str:
        """What happened, without the names of the app and the host."""
        return "".join(
            (self._what_text, self._serving_text, " (comes and goes; notified less often now)" if self.flapping else "")
        )

    @property
    def _what_text(self) -> str:
        state = self.state
        if self.event == "failed":
            return f"still: {state.text}" if self.reminder else state.text
        if not self.app:
            return "can be used again"
        again = " as wanted again" if self.event == "recovered" and state.version else ""
        return f"{state.name}{again}" + (f" ({state.changed})" if state.changed else "")

    @property
    def _serving_text(self) -> str:
        return f"; version {self.state.serving} still runs" if self.event == "failed" and self.state.serving else ""


@dataclass(frozen=True)
class News:
    """The notices to deliver, and the reports to compare with once they are delivered."""

    notices: tuple[Notice, ...]
    reported: Mapping[Key, LastReport]


def transitions(
    before: Mapping[Key, LastReport],
    after: Mapping[Key, State],
    now: float,
    *,
    events: Collection[str] = ("failed", "recovered", "converged"),
    known: Collection[Key] | None = None,
) -> News:
    """Return the news in `after`. Keys not in `after` stay as they were, unless they are not in `known` either.

    An app that runs as desired when first seen is not news, unless this pass has just changed it. Events not in
    `events` are recorded without a notice.
    """
    kept = None if known is None else {*known, *after, DESIRED_STATE}
    reported = {key: last for key, last in before.items() if kept is None or key in kept}
    notices: list[Notice] = []
    for key, state in sorted(after.items()):
        last = reported.get(key)
        if state.problem in QUIET:
            continue
        if last and last.state.problem in TOLD_ONCE and not state.problem and not state.changed:
            reported[key] = LastReport(state, now, last.times)
            continue
        notice = _news(key, state, last, now)
        if notice is None:
            reported.setdefault(key, LastReport(state, now))
        elif notice.event not in events:
            reported[key] = LastReport(state, notice.since, last.times if last else ())
        elif notice.reminder or may_notify(last, now):
            times = times_within_a_day(last, now)
            notices.append(replace(notice, flapping=not notice.reminder and len(times) >= FREE_A_DAY))
            reported[key] = LastReport(state, notice.since, (*times, now))
        if key in reported and not reported[key].state.problem and not reported[key].state.version:
            del reported[key]  # the app is removed, and that was reported
    return News(tuple(notices), reported)


def _news(key: Key, state: State, last: LastReport | None, now: float) -> Notice | None:
    app, host = key
    if last is None:
        if not state.problem and not state.changed:
            return None
        return Notice("failed" if state.problem else "converged", app, host, state, now)
    if state == last.state:
        if state.problem and _reminder_due(last, now):
            return Notice("failed", app, host, state, last.since, reminder=True)
        return Notice("converged", app, host, state, last.since) if state.changed and not state.problem else None
    if state.problem:
        return Notice("failed", app, host, state, now)
    return Notice("recovered" if last.state.problem else "converged", app, host, state, now)


def _reminder_due(last: LastReport, now: float) -> bool:
    latest = max(last.times, default=last.since)
    return not 0 <= now - latest < DAY_SECONDS  # a clock that was set back must not suppress it


def times_within_a_day(last: LastReport | None, now: float) -> tuple[float, ...]:
    """Return the times of the notices within the last day."""
    return tuple(time for time in (last.times if last else ()) if 0 <= now - time < DAY_SECONDS)


def may_notify(last: LastReport | None, now: float) -> bool:
    """True if another notice may be sent now."""
    times = times_within_a_day(last, now)
    beyond = len(times) - FREE_A_DAY
    return beyond < 0 or now >= max(times) + FIRST_WAIT_SECONDS * float(2**beyond)
