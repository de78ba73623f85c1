"""`status` as text: what is wrong first, and what is fine counted when there is much of it. Pure.

A row is as `report.status_row` makes it. Its state adds one word to it, so that the order and the colour have a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from reconciler.colours import Paint, Style, plain
from reconciler.layout import columns, cut_middle, fit_widths, pad, wrap
from reconciler.model.action import Blocked
from reconciler.words import printable_text

State = Literal["BROKEN", "blocked", "waiting", "fine"]

MOST_ROWS: Final = 20  # of one state; the others are counted
MOST_NAMES: Final = 3
_HEAD: Final = ("", "host", "app", "git wants", "host runs", "slot", "since")
_SHRINKS: Final = (1, 2, 3, 4)
_STYLES: Final[dict[State, Style]] = {"BROKEN": "bad", "blocked": "bad", "waiting": "warn", "fine": "good"}
_PASSES_BY_ITSELF: Final = frozenset({"waiting", "locked", "lease_lost", "suspended", "starting"})
_SINCE: Final = re.compile(r"(?:[A-Z][a-z]{2} )?(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d(?: UTC)?( \S+)?")


@dataclass(frozen=True)
class StatusLine:
    """One row of `status`, how good or bad that is, and what the operator can do."""

    row: dict[str, Any]
    state: State
    next_step: str = ""


def state_of(row: dict[str, Any], end: object, *, unreachable: bool = False, drifted: bool = False) -> State:
    """BROKEN: it does not run, or is not known to. blocked: it runs, and a person has to act. waiting: a pass will."""
    if row["ready"]:
        return "fine"
    if unreachable:
        return "BROKEN"
    if isinstance(end, Blocked) and end.kind not in _PASSES_BY_ITSELF:
        return "blocked" if row["runs"] else "BROKEN"
    return "BROKEN" if drifted and not row["runs"] else "waiting"


def status_text(lines: Iterable[StatusLine], width: int | None = None, paint: Paint = plain) -> str:
    """The rows by state, worst first, each with its reason below it. No line is longer than `width`."""
    lines = list(lines)
    if not lines:
        return "no app on any host\n"
    by_state = {state: [line for line in lines if line.state == state] for state in get_args(State)}
    shown = {state: _pick(state, of_state) for state, of_state in by_state.items()}
    cells = [_HEAD, *(_cells(line) for of_state in shown.values() for line in of_state)]
    head, *table = _table(cells, width)
    text = [*_summary(by_state, paint), *([paint(head, "head")] if table else [])]
    for state, of_state in shown.items():
        for line in of_state:
            text += [_painted(state, table.pop(0), paint), *_reason(line, width, paint)]
        rest = [line.row for line in by_state[state] if line not in of_state]
        text += [_painted(state, each, paint) for each in _rest(state, rest, width)]
    crashes = [_crash_text(line.row, dump) for line in lines for dump in line.row["crash_dumps"]]
    text += [each for crash in crashes for each in wrap(crash, width, indent="")]
    return "".join(f"{line}\n" for line in text)


def _pick(state: State, lines: list[StatusLine]) -> list[StatusLine]:
    """The lines to show one by one. Of many that are fine, those that have something to say."""
    if state == "fine" and len(lines) > MOST_ROWS:
        lines = [line for line in lines if line.row["because"] != "as wanted"]
    return lines[:MOST_ROWS]


def _painted(state: State, line: str, paint: Paint) -> str:
    return paint(line[: len(state)], _STYLES[state]) + line[len(state) :]


def _summary(by_state: dict[State, list[StatusLine]], paint: Paint) -> list[str]:
    """How many of each state there are; nothing where a glance at the rows says it."""
    if sum(map(len, by_state.values())) <= MOST_ROWS:
        return []
    hosts = {line.row["host"] for lines in by_state.values() for line in lines}
    counts = [paint(f"{len(lines):,} {state}", _STYLES[state]) for state, lines in by_state.items() if lines]
    return [f"{', '.join(counts)} on {len(hosts):,} host{'s' * (len(hosts) > 1)}"]


def _cells(line: StatusLine) -> tuple[str, ...]:
    row = line.row
    since = _SINCE.sub(lambda found: found[1] + (found[2] or ""), row["since"] or "-")
    cells = (row["host"], row["app"] or "-", row["wants"] or "-", row["runs"] or "nothing", row["slot"] or "-", since)
    return (line.state, *map(printable_text, cells))


def _table(cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    widths = fit_widths(cells, width, _SHRINKS)
    fitted = ([pad(cut_middle(text, room), room) for text, room in zip(row, widths, strict=True)] for row in cells)
    return ["  ".join(row).rstrip() for row in fitted]


def _reason(line: StatusLine, width: int | None, paint: Paint) -> list[str]:
    row, next_step = line.row, " ".join(line.next_step.split())
    because = row["because"].removeprefix(f"host {row['host']}: ").removeprefix(f"{row['app']}: ")
    reason = wrap(printable_text(because), width) if because != "as wanted" else []
    steps = wrap(printable_text(f"next: {next_step}"), width) if next_step else []
    return reason + [f"  {paint(each[2:], 'next')}" for each in steps]


def _rest(state: State, rows: list[dict[str, Any]], width: int | None) -> list[str]:
    """What is not shown: for each app and version of what is fine, on how many hosts; of other states the number."""
    if not rows:
        return []
    if state != "fine":
        return [f"{state}  and {len(rows):,} more; --app, --host and --json show them"]
    hosts: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        hosts.setdefault((row["app"], row["runs"] or "nothing"), []).append(row["host"])
    texts = [f"{app} {version} on {_names(names)}" for (app, version), names in sorted(hosts.items())]
    more = [f"and {len(texts) - MOST_ROWS:,} more apps"] if len(texts) > MOST_ROWS else []
    lines = [printable_text(f"fine     {text}") for text in (*texts[:MOST_ROWS], *more)]
    return [cut_middle(line, width or columns(line)) for line in lines]


def _names(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= MOST_NAMES else f"{len(hosts):,} hosts"


def _crash_text(row: dict[str, Any], dump: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(dump["at"], UTC)
    return printable_text(f"{row['host']}: {row['app']} crashed at {at:%Y-%m-%d %H:%M} UTC, see {dump['path']}")
