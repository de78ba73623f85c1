"""Short names for bytes. Pure."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """The first 12 hex digits of the sha256 of a JSON value, the same in every process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
