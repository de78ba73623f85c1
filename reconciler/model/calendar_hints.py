"""Why a text is not a calendar form, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from zoneinfo import available_timezones

from reconciler.model.fields import quoted_excerpt

_CRON_FIELD = re.compile(r"\*(/[0-9]+)?|[0-9]+(-[0-9]+(/[0-9]+)?)?(,[0-9]+(-[0-9]+)?)*")
_CRON_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CRON_NAMES = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"}
_GENERAL = "write it like 'Mon..Fri *-*-* 03:00 Europe/Vienna', '*:0/15' or 'daily'"
_TIME_SPAN = re.compile(r"([0-9.]+ *(s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?)? *)+")


def explain_zone(name: str) -> str:
    """Why the last word is not a time zone that means the same on each host."""
    if re.fullmatch(r"[A-Za-z]{2,5}", name):
        return f"{quoted_excerpt(name)} is not one zone on every host: name a place, like 'Europe/Vienna', or 'UTC'"
    from difflib import get_close_matches  # only needed after an error

    known = _zones()
    similar = get_close_matches(name.lower()[:64], known, 1)
    return f"{quoted_excerpt(name)} is not a time zone: write " + (
        f"'{known[similar[0]]}'" if similar else "a place like 'Europe/Vienna', or 'UTC'"
    )


@cache
def _zones() -> dict[str, str]:
    """Every zone, by its name in lower case. Python opens some hundred files to find them."""
    return {zone.lower(): zone for zone in available_timezones()}


def explain_form(text: str, is_form: Callable[[str], bool]) -> str:
    """Why a text is not a calendar form. What is proposed is a form."""
    shown = quoted_excerpt(text)
    stripped = " ".join(text.split())
    if not stripped:
        return "it is empty: write when it runs, like '*-*-* 03:00 UTC'"
    if stripped != text and is_form(stripped):
        return f"{shown} has spaces that systemd does not take: write '{stripped}'"
    if stripped.lower() in _CRON_NAMES:
        return f"{shown} is cron's; systemd's is '{stripped.lower().removeprefix('@')}'"
    if (cron := _from_cron(stripped.split(" "))) is not None:
        return (
            f"{shown} is cron's form; systemd's is '{cron}'" if is_form(cron) else f"{shown} is cron's form; {_GENERAL}"
        )
    if "*/" in text and is_form(proposal := _without_stars(text)):
        return f"in {shown} systemd does not take '*/': write '{proposal}'"
    if _TIME_SPAN.fullmatch(stripped):
        return f"{shown} says how long, not when: write '*:0/15' for every 15 minutes, or '0/6:00' for every 6 hours"
    return f"{shown} is not systemd's calendar form: {_GENERAL}"


def _without_stars(text: str) -> str:
    """`*/5` as systemd writes it: from 0 on in a time, from 1 on in a date."""
    date, space, time = text.rpartition(" ")
    if ":" not in time:
        return re.sub(r"\*/", "1/", text)
    return re.sub(r"\*/", "1/", date) + space + re.sub(r"\*/", "0/", time)


def _from_cron(words: list[str]) -> str | None:
    """The five fields of cron as a calendar form. None if they are not cron's; "" if systemd has no such form."""
    if len(words) != 5:
        return None
    minute, hour, day, month, weekday = words
    named = re.sub("[A-Za-z]{3}", lambda found: str(_number_of(found[0])), weekday)
    if not all(map(_CRON_FIELD.fullmatch, (minute, hour, day, month, named))):
        return None
    if weekday != "*" and day != "*":
        return ""
    days = "" if weekday == "*" else _weekdays(named)
    if days is None:
        return ""
    date = f"*-{_chain(month, 1)}-{_chain(day, 1)} "
    return f"{days}{date}{_chain(hour, 0)}:{_chain(minute, 0)}"


def _number_of(name: str) -> int | str:
    return _CRON_DAYS.index(name.title()) if name.title() in _CRON_DAYS else "x"


def _weekdays(field: str) -> str | None:
    if "/" in field or not all(int(day) < 8 for day in re.findall("[0-9]+", field)):
        return None
    return re.sub("[0-9]+", lambda found: _CRON_DAYS[int(found[0])], field).replace("-", "..") + " "


def _chain(field: str, least: int) -> str:
    """One field of cron: `*/5` is `0/5`, `1-5` is `1..5`, and a number has two digits."""
    started = re.sub(r"^\*/", f"{least}/", field).replace("-", "..")
    return re.sub(r"(?<![/0-9])[0-9](?![0-9]|/)", lambda found: f"0{found[0]}", started)
