"""Reads the marks that operators set on an app or on one of its jobs. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.tools.framing import Unfit
from reconciler.tools.look_records import epoch
from reconciler.words import printable


def read_suspension(record: tuple[str, ...], now: int, app: str) -> str | None:
    """Return `by WHO until WHEN: WHY`, or None if the suspension is over. Raises Unfit."""
    end_text, who, reason = record
    try:
        until = epoch(end_text, "the time until which it is suspended")
    except Unfit as error:
        raise Unfit(str(error), f"reconcile resume {app}") from None
    if until and until <= now:
        return None
    end = f" until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC" if until else ""
    return f"by {who}{end}: {printable(reason, 1000)}"
