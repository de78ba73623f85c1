"""The next times at which a job runs. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.model.calendar import parse_calendar
from reconciler.model.job import Job

SHOWN_TIMES = 3


def next_times(job: Job, host_zone: str, now: datetime, most: int = SHOWN_TIMES) -> list[str]:
    """The next times at which the job runs, in UTC; none for a job that is only run by hand."""
    if job.at is None:
        return []
    calendar, zone, times, moment = parse_calendar(job.at), _zone(host_zone), list[str](), now
    while len(times) < most and (found := calendar.next_after(moment, zone)):
        times.append(found.strftime("%Y-%m-%dT%H:%M:%SZ"))
        moment = found + timedelta(microseconds=1)
    return times


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
