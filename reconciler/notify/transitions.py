"""What is news: the state now beside the state that was told last. Pure; the time is passed in.

Since the comparison is with what was *told*, a message that could not be delivered is not lost, and a state that
comes and goes between two messages is not worth one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.notify.problems import QUIET
from reconciler.notify.settings import Event
from reconciler.notify.states import State

Key = tuple[str, str]  # app, host

DAY_SECONDS: Final = 24 * 3600.0
# So many notices a day about one app on one host go out at once; each further one waits twice as long as the last.
FREE_A_DAY: Final = 4
FIRST_WAIT_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Told:
    """The state that was told last (or seen, where nobody asked to be told), since when, and when notices went out."""

    state: State
    since: float
    times: tuple[float, ...] = ()


@dataclass(frozen=True)
class Notice:
    """One piece of news about one app on one host. Its text is the same each time the same thing happens."""

    event: Event
    app: str
    host: str
    state: State
    since: float  # epoch seconds; never part of the text
    reminder: bool = False
    flapping: bool = False

    @property
    def text(self) -> str:
        """What happened, without the app and the host."""
        return "".join((self._what, self._still, " (comes and goes; told less often now)" if self.flapping else ""))

    @property
    def _what(self) -> str:
        state = self.state
        if self.event == "failed":
            return f"still: {state.text}" if self.reminder else state.text
        again = " as wanted again" if self.event == "recovered" and state.version else ""
        return f"{state.name}{again}" + (f" ({state.changed})" if state.changed else "")

    @property
    def _still(self) -> str:
        return f"; version {self.state.serving} still runs" if self.event == "failed" and self.state.serving else ""


@dataclass(frozen=True)
class News:
    """The notices to deliver, and what to compare with next time once they are."""

    notices: tuple[Notice, ...]
    told: Mapping[Key, Told]


def transitions(
    before: Mapping[Key, Told],
    after: Mapping[Key, State],
    now: float,
    *,
    events: Collection[str] = ("failed", "recovered", "converged"),
    known: Collection[Key] | None = None,
    first_is_news: bool = False,
) -> News:
    """What is to be told of `after`. Keys not in `after` stay as they were; those outside `known` are forgotten.

    An app that is seen for the first time and as wanted is no news, unless this pass has just made it so or
    `first_is_news`. Events that nobody asked for are taken note of in silence.
    """
    told = {key: each for key, each in before.items() if known is None or key in known}
    notices: list[Notice] = []
    for key, state in sorted(after.items()):
        if state.problem in QUIET and not first_is_news:
            continue
        last = told.get(key)
        notice = _news(key, state, last, now, first_is_news)
        if notice is None:
            if last is None:
                told[key] = Told(state, now)
        elif notice.event not in events:
            told[key] = Told(state, notice.since, last.times if last else ())
        elif notice.reminder or (wait := _wait_until(_today(last, now))) <= now:
            times = _today(last, now)
            notice = _marked(notice, flapping=not notice.reminder and len(times) >= FREE_A_DAY)
            notices.append(notice)
            told[key] = Told(state, notice.since, (*times, now))
        else:
            assert wait > now  # later, if it is still so then
        if _gone(told.get(key)):
            del told[key]
    return News(tuple(notices), told)


def _news(key: Key, state: State, last: Told | None, now: float, first_is_news: bool) -> Notice | None:
    app, host = key
    if last is None:
        if not state.problem and not state.changed and not first_is_news:
            return None
        return Notice("failed" if state.problem else "converged", app, host, state, now)
    if state == last.state:
        if state.problem and _reminder_due(last, now):
            return Notice("failed", app, host, state, last.since, reminder=True)
        return Notice("converged", app, host, state, last.since) if state.changed and not state.problem else None
    if state.problem:
        return Notice("failed", app, host, state, now)
    return Notice("recovered" if last.state.problem else "converged", app, host, state, now)


def _reminder_due(last: Told, now: float) -> bool:
    latest = max(last.times, default=last.since)
    return not 0 <= now - latest < DAY_SECONDS  # a clock that was set back must not silence it


def _today(last: Told | None, now: float) -> tuple[float, ...]:
    return tuple(time for time in (last.times if last else ()) if 0 <= now - time < DAY_SECONDS)


def _wait_until(times: tuple[float, ...]) -> float:
    """When the next notice may go out at the earliest."""
    beyond = len(times) - FREE_A_DAY
    return max(times) + FIRST_WAIT_SECONDS * float(2**beyond) if beyond >= 0 else 0.0


def _marked(notice: Notice, *, flapping: bool) -> Notice:
    return Notice(notice.event, notice.app, notice.host, notice.state, notice.since, notice.reminder, flapping=flapping)


def _gone(told: Told | None) -> bool:
    return told is not None and not told.state.problem and not told.state.version


def among(keys: Iterable[Key], app: str) -> list[Key]:
    """Those of one app."""
    return sorted(key for key in keys if key[0] == app)
