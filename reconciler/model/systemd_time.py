"""Points in time as systemd prints them."""

from __future__ import annotations

import re
from datetime import datetime


def since_epoch(text: str) -> float | None:
    """What systemd prints for a unit, `Mon 2026-11-30 18:49:55 UTC`; None for another zone or form."""
    found = re.fullmatch(r"(?:[A-Z][a-z]{2} )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:UTC|GMT)", text)
    try:
        return datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp() if found else None
    except ValueError:
        return None
