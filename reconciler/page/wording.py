"""Numbers and times as people say them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def ago(then: float | None, now: float) -> str:
    """`3 min ago`; `in 5 h` for the future; a dash if it is not known."""
    if then is None:
        return "–"
    gone = now - then
    if abs(gone) < 5:
        return "just now"
    return f"{span(gone)} ago" if gone > 0 else f"in {span(-gone)}"


def span(seconds: float) -> str:
    """A length of time in its largest unit, rounded down: `45 s`, `3 min`, `2 h`, `5 days`."""
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if name == "days" else 1):
            return f"{int(seconds // size)} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"


def duration(seconds: float) -> str:
    """How long something took, to the second: `0.4 s`, `12 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return span(seconds)
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(epoch_seconds: float | None) -> str:
    """`2026-11-30 18:49:55 UTC`; "" if it is not known or not a date."""
    found = _date(epoch_seconds)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found else ""


def iso(epoch_seconds: float | None) -> str:
    """The same for a machine, as in `<time datetime>`."""
    found = _date(epoch_seconds)
    return f"{found:%Y-%m-%dT%H:%M:%SZ}" if found else ""


def _date(epoch_seconds: float | None) -> datetime | None:
    if epoch_seconds is None or not 0 <= epoch_seconds < 253_402_300_800:
        return None
    return datetime.fromtimestamp(epoch_seconds, UTC)


def bytes_of(limit: str) -> int | None:
    """The bytes of a limit such as `512M`; None for a share of the host's memory, `40%`."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", limit)
    return int(found[1]) * _UNITS[found[2]] if found else None


def size(count: float) -> str:
    """Bytes as `640 KB`, `96 MB` or `1.5 GB`, in powers of 1024."""
    for step, name in ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if count >= step:
            value = count / step
            return f"{value:.1f} {name}" if value < 10 and name in ("GB", "TB") else f"{value:.0f} {name}"
    return f"{count:.0f} B"


def count(number: int, one: str, many: str = "") -> str:
    """`1 host`, `3 hosts`, `1,000 hosts`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
