"""When a calendar form elapses next, worked out as systemd does, daylight saving included.

A form is a set of values for each unit of a local date and time. The walk begins one microsecond after the given moment
and goes from the year down to the microsecond; a unit that has no value left carries to the next larger one.

A clock change is decided by the UTC offset that the walk came with:
- a local time that the clock skips does not elapse at all that day;
- a local time that the clock shows twice elapses once, the first time (or the second, if the walk begins in between).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

FIRST_YEAR, LAST_YEAR = 1970, 2199
MICROSECONDS = 1_000_000

# systemd gives up after as many steps. A form that needs more never elapses there, so it never elapses here.
_MOST_STEPS = 1000
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _MICROSECOND = range(6)

# Year, month, day, hour, minute, microsecond of the minute. One that is too large counts on into the next larger unit.
Values = tuple[int, int, int, int, int, int]
_LEAST: Values = (FIRST_YEAR, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Span:
    """One value, or every `step`th value from `first` on, up to `last` if there is one."""

    first: int
    last: int | None = None
    step: int = 0

    def earliest(self, value: int) -> int | None:
        """The earliest value of the span that is not before `value`. It can be larger than the unit allows."""
        if self.first >= value:
            return self.first
        if not self.step:
            return None
        found = self.first + self.step * -((self.first - value) // self.step)
        return found if self.last is None or found <= self.last else None

    def from_the_end(self, days: int) -> Span:
        """The same span, counted back from the last day of a month of so many days."""
        if self.last is None:
            return Span(days + 1 - self.first, None, self.step)
        return Span(days + 1 - self.last, days + 1 - self.first, self.step)


@dataclass(frozen=True)
class CalendarTimes:
    """The values of each unit: year, month, day, hour, minute, microsecond of the minute. No spans mean every value."""

    units: tuple[tuple[Span, ...], ...]
    weekdays: frozenset[int] = frozenset(range(7))  # Monday is 0
    from_the_end: bool = False  # the days are counted back from the end of the month

    def earliest(self, unit: int, values: Values) -> int | None:
        """The first value of a unit that is not before the one in `values`. It can be larger than the unit allows."""
        spans: Iterable[Span] = self.units[unit]
        if unit == _DAY and self.from_the_end:
            days = monthrange(*values[:2])[1]
            spans = [span.from_the_end(days) for span in spans]
        if not self.units[unit]:
            return values[unit]
        return min((found for span in spans if (found := span.earliest(values[unit])) is not None), default=None)


def next_elapse(times: CalendarTimes, moment: datetime, zone: ZoneInfo) -> datetime | None:
    """The first elapse after `moment`; both are UTC, without tzinfo. None if there is none before the year 2200."""
    clock = _Clock(zone)
    values: Values | None = _values(clock.wall(moment + timedelta(microseconds=1)))
    for _ in range(_MOST_STEPS):
        if values is None:
            return None
        values, elapses = _step(times, values, clock)
        if elapses and values is not None:
            return clock.instant(_wall(values))
    return None


def _step(times: CalendarTimes, values: Values, clock: _Clock) -> tuple[Values | None, bool]:
    """Where to try next, or the local time that was found, and True."""
    for unit in range(6):
        found = times.earliest(unit, values)
        if found is None or (unit == _YEAR and found > LAST_YEAR):
            return _carried(values, unit, clock), False
        if found != values[unit]:
            values = _with(values, unit, found)
        settled = clock.settle(values)
        if settled != values and unit == _YEAR:
            return None, False
        if settled < values:
            return _carried(values, unit, clock), False
        if settled > values:
            return clock.resume(_begun(settled, values)), False
        if unit == _DAY and _wall(values).weekday() not in times.weekdays:
            return _carried(values, _HOUR, clock), False
    return values, True


def _begun(settled: Values, values: Values) -> Values:
    """Go on at the start of the unit that `settled` moved to.

    As systemd does: only the next smaller unit starts again, and of the microseconds only the whole seconds. So hours
    that count on beyond a month, or fractions of seconds beyond a minute, can leave out the first value after it.
    """
    unit = next(unit for unit in range(6) if settled[unit] != values[unit]) + 1
    if unit > _MICROSECOND:
        return settled
    least = settled[unit] % MICROSECONDS if unit == _MICROSECOND else _LEAST[unit]
    return _as_values((*settled[:unit], least, *settled[unit + 1 :]))


class _Clock:
    """The local clock of a zone. Of two instants with one local time it takes the one with the offset it last had."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._offset = timedelta()
        self._summer = False

    def wall(self, instant: datetime) -> datetime:
        """The local time at an instant."""
        local = self._zone.fromutc(instant.replace(tzinfo=self._zone))
        self._offset, self._summer = _offset(local), bool(local.dst())
        return local.replace(tzinfo=None, fold=0)

    def instant(self, wall: datetime) -> datetime:
        """The instant of a local time. Of one that the clock skips: as if the clock had not been changed yet."""
        local = wall.replace(tzinfo=self._zone)
        offsets = _offset(local), _offset(local.replace(fold=1))
        # An offset that grows means that the clock skips this local time, not that it shows it twice.
        chosen = self._offset if self._offset in offsets and offsets[0] > offsets[1] else offsets[0]
        return wall - chosen

    def settle(self, values: Values) -> Values:
        """The same local time with no value too large, or what the clock shows instead of one that it skips."""
        return _values(self.wall(self.instant(_wall(values))))

    def resume(self, values: Values) -> Values:
        """Like `settle`, but by summer or winter time as it was at the last instant.

        As systemd does after a value that counted on: in the other half of the year it is an hour off. It can come back
        to the same value for ever, until it gives up.
        """
        local = _wall(values).replace(tzinfo=self._zone)
        if self._summer not in (bool(local.dst()), bool(local.replace(fold=1).dst())):
            return _values(self.wall(_wall(values) - self._offset))
        return self.settle(values)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()


def _values(wall: datetime) -> Values:
    return wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second * MICROSECONDS + wall.microsecond


def _as_values(values: tuple[int, ...]) -> Values:
    year, month, day, hour, minute, microsecond = values
    return year, month, day, hour, minute, microsecond


def _wall(values: Values) -> datetime:
    year, month, day, hour, minute, microsecond = values
    start = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
    return start + timedelta(days=day - 1, hours=hour, minutes=minute, microseconds=microsecond)


def _with(values: Values, unit: int, value: int) -> Values:
    """The start of another year, month, day, hour or minute; or another microsecond."""
    return _as_values((*values[:unit], value, *_LEAST[unit + 1 :]))


def _carried(values: Values, unit: int, clock: _Clock) -> Values | None:
    """The start of the next larger unit, for a unit that has no value left in this one. After the years: None."""
    return None if unit == _YEAR else clock.settle(_with(values, unit - 1, values[unit - 1] + 1))
