"""Short names for bytes. Pure."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """The first 12 hex digits of the sha256 of a JSON value, the same in every process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def package_text(name: str) -> str:
    """A text that ships with the package, such as `templates/route.yml.j2`."""
    from pathlib import Path

    return (Path(__file__).parent / name).read_text(encoding="utf-8")
