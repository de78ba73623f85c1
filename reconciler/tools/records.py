"""Reads the lines that `finish.sh` writes into the history of an app, as strictly as a look. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from reconciler.words import printable

LONGEST_LINE = 100_000
LAST_EPOCH_SECONDS = 253_402_300_799
_TEXTS = ("who", "from", "to", "why", "outcome", "reason")


def read_entry(line: str) -> dict[str, Any] | None:
    """Read one entry of the history, with its texts made printable. Returns None for a line of any other form."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in _TEXTS):
        return None
    at, seconds, commit, actions = (entry.get(key) for key in ("at", "seconds", "commit", "actions"))
    sound = (
        isinstance(at, int)
        and 0 <= at <= LAST_EPOCH_SECONDS
        and isinstance(seconds, int | float)
        and 0 <= seconds < 10**9
        and (commit is None or (isinstance(commit, str) and re.fullmatch("[0-9A-Za-z._-]{1,128}", commit)))
        and isinstance(actions, list)
        and all(isinstance(verb, str) and re.fullmatch("[a-z_-]{1,30}", verb) for verb in actions)
    )
    if not sound:
        return None
    texts = {key: printable(entry[key], 2000) for key in _TEXTS}
    return {"at": at, "who": texts["who"], "commit": commit, "actions": actions, "seconds": seconds} | texts
