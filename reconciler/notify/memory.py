"""What was told, kept over a restart in one small file. It holds no text and no secret; losing it repeats a message."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconciler.files import write_whole
from reconciler.notify.states import State
from reconciler.notify.transitions import Key, LastReport

LARGEST_FILE: Final = 16 << 20
LONGEST_PAUSE_SECONDS: Final = 3600.0
FIRST_PAUSE_SECONDS: Final = 60.0


@dataclass
class PlaceMemory:
    """About one place: what it was told, and how long it is left alone after failures."""

    reported: dict[Key, LastReport] = field(default_factory=dict)
    failures: int = 0
    not_before: float = 0.0
    said: str = ""  # the failure that was reported last

    def note_failure(self, now: float) -> None:
        """Leave it alone for a while, twice as long each time."""
        self.not_before = now + min(FIRST_PAUSE_SECONDS * float(2 ** min(self.failures, 10)), LONGEST_PAUSE_SECONDS)
        self.failures += 1

    def note_delivery(self) -> None:
        self.failures, self.not_before, self.said = 0, 0.0, ""

    def is_waiting(self, now: float) -> bool:
        # Further ahead than any pause is long: the clock was set back.
        return now < self.not_before <= now + LONGEST_PAUSE_SECONDS


def to_json(places: dict[str, PlaceMemory]) -> str:
    return json.dumps({name: _place_json(place) for name, place in sorted(places.items())}) + "\n"


def from_json(text: str) -> dict[str, PlaceMemory]:
    """What can be read of it; nothing when it is not ours."""
    try:
        return {str(name): _place(place) for name, place in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def read(path: Path) -> dict[str, PlaceMemory]:
    """Never fails: without it the worst is a repeated message."""
    with suppress(OSError):
        if path.stat().st_size <= LARGEST_FILE:
            return from_json(path.read_text(encoding="utf-8", errors="replace"))
    return {}


def write(path: Path, text: str) -> None:
    """Whole or not at all. Raises OSError."""
    write_whole(path, text.encode(), mode=0o600)


def _place_json(place: PlaceMemory) -> dict[str, Any]:
    reported = [
        [*key, each.state.version, each.state.problem, each.state.digest, each.since, list(each.times)]
        for key, each in sorted(place.reported.items())
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
