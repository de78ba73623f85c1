"""`status` as text: what is wrong first, and what is fine counted when there is much of it. Pure.

A row is as `report.status_row` makes it. Its state adds one word to it, so that the order and the colour have a name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from reconciler.colours import Paint, Style, plain
from reconciler.layout import columns, cut_middle, fit_widths, pad, wrap
from reconciler.model.action import Blocked
from reconciler.model.observed import EDGE
from reconciler.words import printable_text

State = Literal["BROKEN", "blocked", "waiting", "fine"]

MOST_ROWS: Final = 20  # of one state; the others are counted
MOST_NAMES: Final = 3
_HEAD: Final = ("", "host", "app", "git wants", "host runs", "slot", "since")
_SHRINKS: Final = (1, 2, 3, 4)
_STYLES: Final[dict[State, Style]] = {"BROKEN": "bad", "blocked": "bad", "waiting": "warn", "fine": "good"}
_PASSES_BY_ITSELF: Final = frozenset({"waiting", "locked", "lease_lost", "suspended", "starting"})
_ALL: Final = "--app, --host and --json show them"
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
        rest = [line for line in by_state[state] if line not in of_state]
        if state == "fine":
            text += [_painted(state, each, paint) for each in _rest_of_fine([line.row for line in rest], width)]
        else:
            text += _rest(state, rest, width, paint)
    crashes = [_crash_text(line.row, dump) for line in lines for dump in line.row["crash_dumps"]]
    text += [each for crash in crashes for each in wrap(crash, width, indent="")]
    return "".join(f"{line}\n" for line in text)


def _pick(state: State, lines: list[StatusLine]) -> list[StatusLine]:
    """The lines to show one by one. Of many, those that have something to say for themselves."""
    if state == "fine" and len(lines) > MOST_ROWS:
        lines = [line for line in lines if line.row["because"] != "as wanted"]
    elif len(lines) > MOST_ROWS:
        alike = Counter(_sameness(line.row) for line in lines)
        lines = [line for line in lines if alike[_sameness(line.row)] <= MOST_NAMES]
    return lines[:MOST_ROWS]


def _sameness(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["app"], row["wants"] or "-", _because(row)


def _nothing(row: dict[str, Any]) -> str:
    """What stands for a version where none runs: an edge runs none, and is well."""
    return "-" if row["slot"] == EDGE else "nothing"


def _because(row: dict[str, Any]) -> str:
    because: str = row["because"].removeprefix(f"host {row['host']}: ").removeprefix(f"{row['app']}: ")
    return because


def _painted(state: State, line: str, paint: Paint) -> str:
    return paint(line[: len(state)], _STYLES[state]) + line[len(state) :]


def _summary(by_state: dict[State, list[StatusLine]], paint: Paint) -> list[str]:
    """How many of each state there are; nothing where a glance at the rows says it."""
    if sum(map(len, by_state.values())) <= MOST_ROWS:
        return []
    hosts = {line.row["host"] for lines in by_state.values() for line in lines}
    counts = [paint(f"{len(lines):,} {state}", _STYLES[state]) for state, lines in by_state.items() if lines]
    return [f"{', '.join(counts)} on {len(hosts):,} host{'s' * (len(hosts) > 1)}", *_progress(by_state)]


def _progress(by_state: dict[State, list[StatusLine]]) -> list[str]:
    """How far each app is that goes over many hosts: `shop: 97 of 100 hosts run 0.2.0, 3 waiting`."""
    apps: dict[tuple[str, str], Counter[str]] = {}
    for state, lines in by_state.items():
        for line in lines:
            row = line.row
            counts = apps.setdefault((row["app"], row["wants"] or "-"), Counter())
            counts.update({"all": 1, "run it": row["wants"] == row["runs"], state: 1})
    found = []
    for (app, version), counts in sorted(apps.items()):
        if counts["all"] > MOST_NAMES and counts["fine"] < counts["all"]:
            others = "".join(f", {counts[state]:,} {state}" for state in get_args(State)[:-1] if counts[state])
            found.append(
                printable_text(f"{app}: {counts['run it']:,} of {counts['all']:,} hosts run {version}{others}")
            )
    more = [f"and {len(found) - MOST_ROWS:,} more apps"] if len(found) > MOST_ROWS else []
    return found[:MOST_ROWS] + more


def _cells(line: StatusLine) -> tuple[str, ...]:
    row = line.row
    since = _SINCE.sub(lambda found: found[1] + (found[2] or ""), row["since"] or "-")
    cells = (
        row["host"],
        row["app"] or "-",
        row["wants"] or "-",
        row["runs"] or _nothing(row),
        row["slot"] or "-",
        since,
    )
    return (line.state, *map(printable_text, cells))


def _table(cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    widths = fit_widths(cells, width, _SHRINKS)
    fitted = ([pad(cut_middle(text, room), room) for text, room in zip(row, widths, strict=True)] for row in cells)
    return ["  ".join(row).rstrip() for row in fitted]


def _reason(line: StatusLine, width: int | None, paint: Paint) -> list[str]:
    row, next_step = line.row, " ".join(line.next_step.split())
    because = _because(row)
    reason = wrap(printable_text(because), width) if because != "as wanted" else []
    steps = wrap(printable_text(f"next: {next_step}"), width) if next_step else []
    return reason + [f"  {paint(each[2:], 'next')}" for each in steps]


def _rest_of_fine(rows: list[dict[str, Any]], width: int | None) -> list[str]:
    """What is not shown of what is fine: for each app and version, on how many hosts."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        hosts.setdefault((row["app"], row["runs"] or _nothing(row)), []).append(row["host"])
    texts = [f"{app} {version} on {_names(names)}" for (app, version), names in sorted(hosts.items())]
    more = [f"and {len(texts) - MOST_ROWS:,} more apps"] if len(texts) > MOST_ROWS else []
    lines = [printable_text(f"fine     {text}") for text in (*texts[:MOST_ROWS], *more)]
    return [cut_middle(line, width or columns(line)) for line in lines]


def _rest(state: State, lines: list[StatusLine], width: int | None, paint: Paint) -> list[str]:
    """What is not shown of another state: hosts with the same reason together, and the number of those left."""
    alike: dict[tuple[str, str, str], list[StatusLine]] = {}
    for line in lines:
        alike.setdefault(_sameness(line.row), []).append(line)
    many = [(key, same) for key, same in alike.items() if len(same) > MOST_NAMES][:MOST_ROWS]
    found = []
    for (app, wants, _), same in many:
        head = printable_text(f"{state.ljust(7)}  {app} {wants} on {len(same):,} hosts").partition("\n")[0]
        found += [_painted(state, cut_middle(head, width or columns(head)), paint), *_reason(same[0], width, paint)]
    left = len(lines) - sum(len(same) for _, same in many)
    return [*found, *([_painted(state, f"{state}  and {left:,} more; {_ALL}", paint)] if left else [])]


def _names(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= MOST_NAMES else f"{len(hosts):,} hosts"


def _crash_text(row: dict[str, Any], dump: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(dump["at"], UTC)
    return printable_text(f"{row['host']}: {row['app']} crashed at {at:%Y-%m-%d %H:%M} UTC, see {dump['path']}")
