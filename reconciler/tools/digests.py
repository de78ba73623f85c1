"""Short digests of values. Pure."""

from __future__ import annotations

import hashlib
import json


def sha256_of(text: str) -> str:
    """Return the sha256 of a text in hex digits, as `sha256sum` prints it for a file that holds it."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(value: object) -> str:
    """Return the first 12 hex digits of the sha256 of a JSON value. It is the same in every process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
