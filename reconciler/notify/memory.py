"""What was told, kept over a restart in one small file. It holds no text and no secret; losing it repeats a message."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconciler.notify.states import State
from reconciler.notify.transitions import Key, Told

LARGEST_FILE: Final = 16 << 20
LONGEST_PAUSE_SECONDS: Final = 3600.0
FIRST_PAUSE_SECONDS: Final = 60.0


@dataclass
class Remembered:
    """About one place: what it was told, and how long it is left alone after failures."""

    told: dict[Key, Told] = field(default_factory=dict)
    failures: int = 0
    not_before: float = 0.0
    said: str = ""  # the failure that was reported last

    def failed(self, now: float) -> None:
        """Leave it alone for a while, twice as long each time."""
        self.not_before = now + min(FIRST_PAUSE_SECONDS * float(2 ** min(self.failures, 10)), LONGEST_PAUSE_SECONDS)
        self.failures += 1

    def delivered(self) -> None:
        self.failures, self.not_before, self.said = 0, 0.0, ""

    def waits(self, now: float) -> bool:
        # Further ahead than any pause is long: the clock was set back.
        return now < self.not_before <= now + LONGEST_PAUSE_SECONDS


def to_json(places: dict[str, Remembered]) -> str:
    return json.dumps({name: _place_json(place) for name, place in sorted(places.items())}) + "\n"


def from_json(text: str) -> dict[str, Remembered]:
    """What can be read of it; nothing when it is not ours."""
    try:
        return {str(name): _place(place) for name, place in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def read(path: Path) -> dict[str, Remembered]:
    """Never fails: without it the worst is a repeated message."""
    with suppress(OSError):
        if path.stat().st_size <= LARGEST_FILE:
            return from_json(path.read_text(encoding="utf-8", errors="replace"))
    return {}


def write(path: Path, text: str) -> None:
    """Whole or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _place_json(place: Remembered) -> dict[str, Any]:
    told = [
        [*key, each.state.version, each.state.problem, each.state.digest, each.since, list(each.times)]
        for key, each in sorted(place.told.items())
    ]
    return {"failures": place.failures, "not_before": place.not_before, "told": told}


def _place(written: dict[str, Any]) -> Remembered:
    told = {
        (str(app), str(host)): Told(
            State(str(version), str(problem), str(digest)), float(since), tuple(float(time) for time in times)
        )
        for app, host, version, problem, digest, since, times in written["told"]
    }
    return Remembered(told, int(written["failures"]), float(written["not_before"]))
