"""systemd's calendar form (systemd.time(7)): read, checked and worked out without a host.

`parse_calendar` takes what systemd 252 takes, and refuses what it refuses. It also refuses the names of zones that
depend on the host: `CET` is the host's own winter time if the host is in Vienna, and never comes there in summer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.model.calendar_hints import explain_form, explain_zone
from reconciler.model.calendar_times import FIRST_YEAR, LAST_YEAR, MICROSECONDS, CalendarTimes, Span, next_elapse
from reconciler.model.fields import quoted_excerpt

LONGEST = 1000
MOST_SPANS = 241

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)"
_DAY_RANGE = rf"{_DAY}(?:(?:\.\.|-){_DAY})?"


def _chain(number: str) -> str:
    span = rf"{number}(?:\.\.{number})?(?:/{number})?"
    return rf"(?:\*|{span}(?:,{span})*)"


_WHOLE, _SECONDS = _chain("[0-9]+"), _chain(r"[0-9]+(?:\.[0-9]+)?")
_FORM = (
    rf"(?:(?P<weekdays>(?i:{_DAY_RANGE}(?:,{_DAY_RANGE})*),?)(?: +|$))?"
    r"(?:@ *\+?(?P<epoch>[0-9]{1,20})|"
    rf"(?:(?:(?P<year>{_WHOLE})-)?(?P<month>{_WHOLE})(?P<dash>[-~])(?P<day>{_WHOLE})(?: +|$))?"
    rf"(?:(?P<hour>{_WHOLE}):(?P<minute>{_WHOLE})(?::(?P<second>{_SECONDS}))?)?)"
)
_SHORTHANDS = {
    "minutely": "*:*",
    "hourly": "*:00",
    "daily": "*-*-*",
    "weekly": "Mon",
    "monthly": "*-*-01",
    "quarterly": "*-01,04,07,10-01",
    **dict.fromkeys(("semiannually", "semi-annually", "biannually", "bi-annually"), "*-01,07-01"),
    **dict.fromkeys(("yearly", "annually", "anually"), "*-01-01"),
}
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,64}(?:/[A-Za-z0-9_+-]{1,64}){0,3}")
# These are zones, and also what the clocks of a place call their time.
_ABBREVIATIONS = frozenset({"CET", "EET", "EST", "GMT", "HST", "MET", "MST", "WET"})
_NO_PLACES = re.compile(r"(posix|right)/.*|Factory|localtime|posixrules")
_BOUNDS = {
    "year": (FIRST_YEAR, LAST_YEAR, f"{FIRST_YEAR} to {LAST_YEAR}"),
    "month": (1, 12, "1 to 12"),
    "day": (1, 31, "1 to 31"),
    "hour": (0, 23, "0 to 23"),
    "minute": (0, 59, "0 to 59"),
    "second": (0, 60 * MICROSECONDS - 1, "0 to 59"),
}
_ONE = {unit: MICROSECONDS if unit == "second" else 1 for unit in _BOUNDS}
_DAYS_FROM_THE_END = (1, 28, "1 to 28 after '~'")


@dataclass(frozen=True)
class Calendar:
    """When a job runs: a calendar form that systemd takes. Two with the same text are equal."""

    text: str
    zone: str | None = field(compare=False)  # None: the zone of the host
    times: CalendarTimes = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def next_after(self, moment: datetime, host_zone: ZoneInfo) -> datetime | None:
        """When it elapses next after a moment, in UTC, or None if it never does again."""
        zone = host_zone if self.zone is None else ZoneInfo(self.zone)
        found = next_elapse(self.times, moment.astimezone(UTC).replace(tzinfo=None), zone)
        return None if found is None else found.replace(tzinfo=UTC)


def parse_calendar(text: str) -> Calendar:
    """Read a calendar form. ValueError says in a sentence what is wrong, and what would be right."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} characters (at most {LONGEST}): split it into several jobs")
    form, zone = _split_zone(text)
    found = _match(form)
    if found is None:
        raise ValueError(explain_form(text, _is_form))
    if found["epoch"] is not None:
        return Calendar(text, "UTC", _times_of_epoch(found))
    return Calendar(text, zone, _times(found))


def _match(form: str) -> re.Match[str] | None:
    return re.fullmatch(_FORM, _SHORTHANDS.get(form.lower(), form)) if form and form.isascii() else None


def _is_form(text: str) -> bool:
    try:
        parse_calendar(text)
    except ValueError:
        return False
    return True


def _split_zone(text: str) -> tuple[str, str | None]:
    """The form without its zone, and the zone. What is neither stays part of the form."""
    form, _, last = text.rpartition(" ")
    if not last or _match(text) or not _match(form):
        return text, None
    if last.upper() == "UTC":
        return form, "UTC"
    if last.upper() in _ABBREVIATIONS or not _is_zone(last):
        raise ValueError(explain_zone(last))
    return form, last


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name) or _NO_PLACES.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _times(found: re.Match[str]) -> CalendarTimes:
    from_the_end = found["dash"] == "~"
    midnight = found["hour"] is None
    units = (
        _spans("year", found["year"] or "*"),
        _spans("month", found["month"] or "*"),
        _spans("day", found["day"] or "*", from_the_end),
        _spans("hour", "0" if midnight else found["hour"]),
        _spans("minute", "0" if midnight else found["minute"]),
        _spans("second", found["second"] or "0"),
    )
    return CalendarTimes(units, _weekdays(found["weekdays"]), from_the_end)


def _times_of_epoch(found: re.Match[str]) -> CalendarTimes:
    """`@1767225600`: once, so many seconds after 1970 began."""
    if int(found["epoch"]) >= datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp():
        raise ValueError(f"{quoted_excerpt('@' + found['epoch'])} is after the year {LAST_YEAR}: write fewer seconds")
    at = datetime.fromtimestamp(int(found["epoch"]), UTC)
    values = (at.year, at.month, at.day, at.hour, at.minute, at.second * MICROSECONDS)
    return CalendarTimes(tuple((Span(value),) for value in values), _weekdays(found["weekdays"]))


def _weekdays(text: str | None) -> frozenset[int]:
    """`Mon..Fri,Sun` as numbers from Monday; no text means every day."""
    found: set[int] = set()
    for part in text.lower().rstrip(",").split(",") if text else ():
        days = [_DAYS.index(day[:3]) for day in re.split(r"\.\.|-", part)]
        if days[0] > days[-1]:
            names = ",".join(_DAYS[day % 7].title() for day in range(days[0], days[-1] + 8))
            raise ValueError(f"the weekdays {quoted_excerpt(part)} run past the end of the week: write '{names}'")
        found.update(range(days[0], days[-1] + 1))
    return frozenset(found or range(7))


def _spans(unit: str, chain: str, from_the_end: bool = False) -> tuple[Span, ...]:
    if chain == "*":
        return (Span(0, None, MICROSECONDS),) if unit == "second" else ()
    parts = chain.split(",")
    if len(parts) > MOST_SPANS:
        raise ValueError(f"the {unit} has {len(parts)} values (at most {MOST_SPANS}): write a range, like '0..30/2'")
    spans = tuple(_span(unit, part, from_the_end) for part in parts)
    if from_the_end:
        _check_days_from_the_end(spans)
    return spans


def _check_days_from_the_end(spans: tuple[Span, ...]) -> None:
    """systemd takes three days off the largest for each further value, and so refuses some that would be right."""
    for place, span in enumerate(sorted(set(spans), key=lambda span: (span.first, span.last or -1, span.step))):
        if max(span.first, span.last or 0) > (most := 28 - 3 * place):
            raise ValueError(f"systemd takes no more than {most} as value {place + 1} after '~': write two jobs")


def _span(unit: str, part: str, from_the_end: bool) -> Span:
    """Read `FIRST`, `FIRST..LAST` or one of them with `/STEP`, and refuse what has fewer values than it says."""
    least, most, bounds = _DAYS_FROM_THE_END if from_the_end else _BOUNDS[unit]
    values, slash, step_text = part.partition("/")
    shown = quoted_excerpt(part)
    numbers = [_number(unit, each) for each in values.split("..")]
    first, last = numbers[0], numbers[-1] if len(numbers) > 1 else None
    if min(numbers) < least or max(numbers) > most:
        raise ValueError(f"the {unit} {shown} is out of range: write {bounds}")
    step = _number(unit, step_text, is_step=True) if slash else _ONE[unit] if last is not None else 0
    if slash and step == 0:
        raise ValueError(f"the {unit} {shown} repeats every 0: write at least '/1'")
    if last is not None and last < first:
        raise ValueError(f"the {unit} {shown} runs backwards: write the smaller number first")
    if last is not None and not slash and unit == "second" and last - first < MICROSECONDS:
        raise ValueError(f"the {unit} {shown} is a range of less than a second: give it a step, like '/0.1'")
    if last is not None:
        last -= (last - first) % step
        return Span(first, last, step) if last > first else Span(first)
    if first - step < least if from_the_end else first + step > most:
        raise ValueError(f"the {unit} {shown} never repeats within {bounds}: leave the step out")
    return Span(first, None, step)


def _number(unit: str, text: str, is_step: bool = False) -> int:
    """The value of digits: microseconds for seconds, and a whole year for one of two digits."""
    if unit == "second":
        whole, _, fraction = text.partition(".")
        digits = fraction.ljust(7, "0")
        return int(whole) * MICROSECONDS + int(digits[:6]) + (digits[6] >= "5")
    if unit == "year" and not is_step and int(text) < 100:
        return int(text) + (2000 if int(text) < 70 else 1900)
    return int(text)
