"""The last notices, kept across restarts in one small file, without texts or secrets. Losing it repeats messages."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconciler.files import write_whole
from reconciler.notify.grafana import Rollout
from reconciler.notify.states import State
from reconciler.notify.transitions import Key, LastReport

LARGEST_FILE: Final = 16 << 20
LONGEST_PAUSE_SECONDS: Final = 3600.0
FIRST_PAUSE_SECONDS: Final = 60.0


@dataclass
class PlaceMemory:
    """The last notices to one place, and the time of the next attempt after failures."""

    reported: dict[Key, LastReport] = field(default_factory=dict)
    failures: int = 0
    not_before: float = 0.0
    logged: str = ""  # the last failure that was logged
    rollouts: list[Rollout] = field(default_factory=list)  # not delivered yet; only in this process

    def note_failure(self, now: float) -> None:
        """Wait before the next attempt, twice as long after each failure, up to an hour."""
        self.not_before = now + min(FIRST_PAUSE_SECONDS * float(2 ** min(self.failures, 10)), LONGEST_PAUSE_SECONDS)
        self.failures += 1

    def note_delivery(self) -> None:
        self.failures, self.not_before, self.logged = 0, 0.0, ""

    def is_waiting(self, now: float) -> bool:
        # If it is further ahead than the longest pause, the clock was set back.
        return now < self.not_before <= now + LONGEST_PAUSE_SECONDS


def to_json(places: dict[str, PlaceMemory]) -> str:
    return json.dumps({name: _place_json(place) for name, place in sorted(places.items())}) + "\n"


def from_json(text: str) -> dict[str, PlaceMemory]:
    """Parse what to_json() wrote; {} for anything else."""
    try:
        return {str(name): _place(place) for name, place in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def read(path: Path) -> dict[str, PlaceMemory]:
    """Read the file; {} if it cannot be read, which at worst repeats messages."""
    with suppress(OSError):
        if path.stat().st_size <= LARGEST_FILE:
            return from_json(path.read_text(encoding="utf-8", errors="replace"))
    return {}


def write(path: Path, text: str) -> None:
    """Replace the file atomically. Raises OSError."""
    write_whole(path, text.encode(), mode=0o600)


def _place_json(place: PlaceMemory) -> dict[str, Any]:
    reported = [
        [*key, last.state.version, last.state.problem, last.state.digest, last.since, list(last.times)]
        for key, last in sorted(place.reported.items())
    ]
    return {"failures": place.failures, "not_before": place.not_before, "told": reported}


def _place(written: dict[str, Any]) -> PlaceMemory:
    reported = {
        (str(app), str(host)): LastReport(
            State(str(version), str(problem), str(digest)), float(since), tuple(float(time) for time in times)
        )
        for app, host, version, problem, digest, since, times in written["told"]
    }
    return PlaceMemory(reported, int(written["failures"]), float(written["not_before"]))
