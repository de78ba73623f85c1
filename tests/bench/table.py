"""Rows of figures, and their text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEADS = ("measure", "reconcile", "beside it", "ratio", "goal", "")


@dataclass(frozen=True)
class Row:
    """One figure. `met` says whether the goal is, where there is one; `notes` are printed below the table."""

    measure: str
    ours: str
    beside: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        mark = {None: "", True: "met", False: "MISSED"}[self.met]
        return (self.measure, self.ours, self.beside, self.ratio, self.goal, mark)


def table(rows: Sequence[Row]) -> str:
    """The rows in columns, then their notes."""
    lines = [HEADS, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in ruled]
    notes = [f"  {note}" for row in rows for note in row.notes]
    return "\n".join([*text, *(["", *notes] if notes else [])])


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """The median, and between which values the others lie."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} {unit} ({low:.{digits}f}-{high:.{digits}f}, n={len(values)})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0 when there is none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else 0.0
