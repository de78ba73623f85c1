"""docs/performance.md and its charts, from the figures of one run: docs/performance.json.

python -m tests.bench.beside.page    writes the page again from the figures that are there
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.beside.charts import Bar, Group, bars

DOCS = Path(__file__).resolve().parents[3] / "docs"
FIGURES = DOCS / "performance.json"
OURS, ANSIBLE, PYINFRA, BARE, SCRIPT = "reconcile", "Ansible", "pyinfra", "bare asyncssh", "deploy script"
Data = Mapping[str, Any]

INTRO = """\
# Performance

`python -m tests.bench --write docs/performance.md` measures everything on this page in one run on one machine and
writes it: edit the bench, not the page. [What was measured and how](#how-it-was-measured) is at the end.
"""
HOW = """\
## How it was measured

The host is a Debian 12 in a network namespace of the machine that runs the tools, with systemd, sshd and Traefik.
Every tool reaches it through the same proxy, which counts bytes and adds the distance: 50 ms there and back. The
app is an Elixir release. Each figure is the median of whole processes, from their start to their end; the tools
take turns, so that a slow minute slows all of them. A tool that takes long is run less often: `n` is the number of
runs.

The others do the same work as their experts would write it, and it is all in `tests/bench/beside`:

- Ansible: a playbook of modules of ansible-core, with pipelining, ControlPersist and without gathering facts. It
  unpacks with `unarchive`, renders unit, environment and route with `template`, starts with `systemd_service`,
  waits with `uri`.
- pyinfra: the same with its facts and operations; where nothing is to be done it only looks.
- deploy script: `scp`, then the hand-written script that this project replaces: untar, start the other port, ask it
  until it answers, stop the old port. Traefik finds out by its health check.
- bare asyncssh: one login and one command that prints the state of everything, by the SSH library that reconcile
  uses. No tool can do less: it is the physical limit of a pass that finds nothing to do.

Ansible and pyinfra cut over as reconcile does: wait until the new slot has been healthy for a second, write the
route, let requests end, stop the old slot. Unlike reconcile they do not check that Traefik has applied the route,
do not keep other controllers away, and prove nothing about the files of a release.

The fleets are one process that answers on thousands of addresses what a real host answered. It runs on the same
processor as the controller; its own time is listed apart.
"""


@dataclass(frozen=True)
class Goal:
    """What a figure should reach."""

    text: str
    value: float
    goal: float
    at_least: bool = True
    unit: str = " ×"

    @property
    def row(self) -> str:
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        sign = "≥" if self.at_least else "≤"
        value, goal = f"{self.value:.3g}{self.unit}", f"{sign} {self.goal:g}{self.unit}"
        return f"| {self.text} | {value} | {goal} | {'yes' if met else 'no'} |"


class Figures:
    """The figures of one run, found by what they are about."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def cell(self, work: str, apps: int, milliseconds: int) -> Mapping[str, list[Data]]:
        """The runs of each tool; empty if this was not measured."""
        found = (
            cell["runs"] for cell in self.data["cells"]
            if (cell["work"], cell["apps"], cell["milliseconds"]) == (work, apps, milliseconds)
        )  # fmt: skip
        return {tool: runs for tool, runs in next(found, {}).items() if runs}

    def median(self, work: str, apps: int, milliseconds: int, tool: str, key: str = "seconds") -> float | None:
        """The median of the runs that have this value; None if there is none."""
        values = [run[key] for run in self.cell(work, apps, milliseconds).get(tool, []) if run[key] is not None]
        return statistics.median(values) if values else None

    def ratio(self, work: str, apps: int, milliseconds: int, tool: str, key: str = "seconds", less: float = 0) -> float:
        """How many times longer than ours another tool takes, both `less` what is no tool's own; NaN if unknown."""
        theirs, ours = (self.median(work, apps, milliseconds, each, key) for each in (tool, OURS))
        return (theirs - less) / (ours - less) if theirs is not None and ours is not None else float("nan")

    @property
    def given_seconds(self) -> float:
        """What a new version takes with every tool: the boot of the app, and a second of being healthy."""
        return float(self.data["boot_seconds"]) + 1


def write(data: Data) -> None:
    """Write figures, page and charts."""
    FIGURES.write_text(json.dumps(data, indent=1) + "\n")
    for path, text in files_of(data).items():
        path.write_text(text)


def files_of(data: Data) -> dict[Path, str]:
    """Return the page and its charts."""
    figures = Figures(data)
    charts = {DOCS / "pictures" / f"performance-{name}.svg": text for name, text in _charts(figures).items()}
    return {DOCS / "performance.md": _page(figures), **charts}


def _page(figures: Figures) -> str:
    data = figures.data
    parts = [
        INTRO, _machine(data), "## Nothing to do\n",
        _picture("quiet", "How long a pass takes that finds nothing to do"), _quiet(figures), "## A new version\n",
        _picture("change", "How long it takes until a new version serves"), _changes(figures),
        "## Thousands of hosts\n", _picture("fleets", "How long a pass over thousands of hosts takes"), _fleets(data),
        "## Goals\n", _goals(figures), HOW,
    ]  # fmt: skip
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _machine(data: Data) -> str:
    versions = ", ".join(data["versions"].values())
    before, after = data["load"]
    return (
        f"Commit {data['commit']}, {data['date']}; {data['machine']}. {versions}. "
        f"Load {before:.1f} before the run and {after:.1f} after it; it took {data['minutes']:.0f} minutes."
    )


def _picture(name: str, text: str) -> str:
    return f"![{text}](pictures/performance-{name}.svg)\n"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _timed(figures: Figures, work: str, apps: int, milliseconds: int, tool: str, key: str = "seconds") -> str:
    value = figures.median(work, apps, milliseconds, tool, key)
    if value is None:
        return ""
    count = len(figures.cell(work, apps, milliseconds)[tool])
    ratio = figures.ratio(work, apps, milliseconds, tool, key)
    times = "" if tool == OURS else f" ({ratio:.1f} ×)"
    return f"{_seconds(value)}{times}, n={count}"


def _quiet(figures: Figures) -> str:
    tools = (BARE, OURS, PYINFRA, ANSIBLE)
    rows = [
        [f"{apps} app{'s' * (apps > 1)}, {ms} ms", *(_timed(figures, "quiet", apps, ms, tool) for tool in tools)]
        for apps in (1, 5, 20) for ms in (0, 50)
    ]  # fmt: skip
    times = _table(["seconds", *tools], rows)

    def about(key: str, show: Callable[[float], str]) -> list[list[str]]:
        return [
            [f"{apps} app{'s' * (apps > 1)}", *(
                show(value) if (value := figures.median("quiet", apps, 0, tool, key)) is not None else ""
                for tool in tools
            )]
            for apps in (1, 5, 20)
        ]  # fmt: skip

    bytes_up = _table(["kB sent to the host", *tools], about("up", lambda value: f"{value / 1000:.1f}"))
    bytes_down = _table(["kB received", *tools], about("down", lambda value: f"{value / 1000:.1f}"))
    memory = _table(
        ["peak memory of the largest process, MB", *tools], about("megabytes", lambda value: f"{value * 1.048576:.0f}")
    )
    return "\n".join((times, bytes_up, bytes_down, memory))


WORKS = (
    ("code", 0, "another version, no distance"), ("code", 50, "another version, 50 ms"),
    ("env", 50, "another env, 50 ms"), ("install", 50, "a first install, 50 ms"),
)  # fmt: skip


def _changes(figures: Figures) -> str:
    tools = (OURS, PYINFRA, ANSIBLE)
    given = figures.given_seconds
    serves = _table(
        ["seconds from the start until the new version serves", *tools],
        [[text, *(_timed(figures, work, 1, ms, tool, "serves_seconds") for tool in tools)] for work, ms, text in WORKS],
    )
    every = (*tools, SCRIPT)
    whole = _table(
        ["seconds of the whole process", *every],
        [[text, *(_timed(figures, work, 1, ms, tool) for tool in every)] for work, ms, text in WORKS],
    )
    sent = _table(
        ["kB sent to the host", *every],
        [[text, *(_kilobytes(figures, work, ms, tool) for tool in every)] for work, ms, text in WORKS],
    )
    failed = _table(
        ["failed requests of all, at 100 per second", *every],
        [[text, *(_failed(figures, work, ms, tool) for tool in every)] for work, ms, text in WORKS[:-1]],
    )
    note = (
        f"In each of the times until the new version serves, {given:.1f} s are no tool's own: the app boots for "
        f"{given - 1:.1f} s, and then has to be healthy for 1 s.\n"
    )
    return "\n".join((serves, note, whole, sent, failed))


def _kilobytes(figures: Figures, work: str, milliseconds: int, tool: str) -> str:
    value = figures.median(work, 1, milliseconds, tool, "up")
    return "" if value is None else f"{value / 1000:,.0f}"


def _failed(figures: Figures, work: str, milliseconds: int, tool: str) -> str:
    runs = figures.cell(work, 1, milliseconds).get(tool, [])
    return f"{sum(run['failed'] for run in runs)} of {sum(run['requests'] for run in runs):,}" if runs else ""


def _fleets(data: Data) -> str:
    heads = ("hosts × apps", "pass", "seconds", "CPU", "memory", "open files", "connections", "CPU of the hosts")
    return _table(heads, map(_fleet_row, data["fleets"]))


def _fleet_row(fleet: Data) -> list[str]:
    def shown(key: str, digits: int, unit: str) -> str:
        value = _median(fleet, key)
        return f"{value:,.{digits}f}{unit}" if value else ""

    return [
        fleet["name"], fleet["work"], f"{_median(fleet, 'seconds'):.1f}, n={len(fleet['costs'])}",
        shown("cpu_seconds", 1, " s"), shown("megabytes", 0, " MiB"), shown("files", 0, ""),
        shown("connections", 0, ""), shown("server_cpu_seconds", 1, " s"),
    ]  # fmt: skip


def _median(fleet: Data, key: str) -> float:
    return float(statistics.median(cost[key] for cost in fleet["costs"]))


def _goals(figures: Figures) -> str:
    given = figures.given_seconds
    goals = [
        Goal("nothing to do, 1 app, no distance: times as fast as Ansible", figures.ratio("quiet", 1, 0, ANSIBLE), 10),
        Goal("the same with pyinfra", figures.ratio("quiet", 1, 0, PYINFRA), 3),
        Goal("nothing to do, 20 apps, 50 ms: times as fast as Ansible", figures.ratio("quiet", 20, 50, ANSIBLE), 65),
        Goal("the same with pyinfra", figures.ratio("quiet", 20, 50, PYINFRA), 45),
        Goal("1 app, no distance: times as long as bare asyncssh", _of_bare(figures, 1, 0), 1.4, at_least=False),
        Goal("1 app, 50 ms: times as long as bare asyncssh", _of_bare(figures, 1, 50), 1.2, at_least=False),
        Goal(
            "another version at 50 ms serves, boot and proof taken out: times as fast as Ansible",
            figures.ratio("code", 1, 50, ANSIBLE, "serves_seconds", given), 4,
        ),
    ]  # fmt: skip
    for name, work, key, most, unit in FLEET_GOALS:
        found = [fleet for fleet in figures.data["fleets"] if (fleet["name"], fleet["work"]) == (name, work)]
        goals += [
            Goal(f"{name}, {work}: {NAMES[key]}", _median(fleet, key), most, at_least=False, unit=unit)
            for fleet in found
        ]
    rows = [goal.row for goal in goals if goal.value == goal.value]
    return "\n".join(["| | measured | goal | met |", "|---|---|---|---|", *rows]) + "\n"


NAMES = {"seconds": "seconds", "megabytes": "memory"}
FLEET_GOALS = (
    ("1,000 × 1", "quiet, from cold", "megabytes", 160, " MiB"), ("1,000 × 5", "quiet, from cold", "seconds", 6, " s"),
    ("1,000 × 5", "quiet, in a watch", "seconds", 2, " s"), ("5,000 × 1", "quiet, from cold", "seconds", 18, " s"),
    ("5,000 × 1", "quiet, from cold", "megabytes", 500, " MiB"),
)  # fmt: skip


def _of_bare(figures: Figures, apps: int, milliseconds: int) -> float:
    return 1 / figures.ratio("quiet", apps, milliseconds, BARE)


def _charts(figures: Figures) -> dict[str, str]:
    def group(heading: str, work: str, apps: int, ms: int, tools: Iterable[str], key: str = "seconds") -> Group:
        values = ((tool, figures.median(work, apps, ms, tool, key)) for tool in tools)
        return Group(
            heading, tuple(Bar(tool, value, f"{_seconds(value)} s") for tool, value in values if value is not None)
        )

    quiet = [
        group(f"{apps} app{'s' * (apps > 1)}", "quiet", apps, 50, (BARE, OURS, PYINFRA, ANSIBLE)) for apps in (1, 5, 20)
    ]
    change = [group(text, work, 1, ms, (OURS, PYINFRA, ANSIBLE), "serves_seconds") for work, ms, text in WORKS]
    fleets = [
        Bar(f"{fleet['name']}, {fleet['work']}", _median(fleet, "seconds"), _cost(fleet))
        for fleet in figures.data["fleets"]
    ]
    by_fleet = [Group("", tuple(fleets))]
    return {
        "quiet": bars("A pass that finds nothing to do, host 50 ms away", quiet, _said(quiet)),
        "change": bars("From the start until the new version serves", change, _said(change)),
        "fleets": bars("One controller, thousands of hosts", by_fleet, _said(by_fleet), name_width=310),
    }


def _cost(fleet: Data) -> str:
    return f"{_median(fleet, 'seconds'):.1f} s, {_median(fleet, 'megabytes'):.0f} MiB"


def _said(groups: Iterable[Group]) -> str:
    return "; ".join(
        (f"{group.heading}: " if group.heading else "") + ", ".join(f"{bar.name} {bar.text}" for bar in group.bars)
        for group in groups
    )


if __name__ == "__main__":
    write(json.loads(FIGURES.read_text()))
