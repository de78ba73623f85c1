"""Measure, and print one table; see the package's docstring."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tests.bench
from tests.bench import distance, passes, quiet, reviews, rollout, soak, swaps, watching, wire
from tests.bench.beside import measures as beside
from tests.bench.beside import page
from tests.bench.beside.tools import versions as tool_versions
from tests.bench.fleet import measures as fleets
from tests.bench.lab import Lab, lab
from tests.bench.table import Row, table
from tests.hosts.farm import missing_requirements
from tests.hosts.process import HostsError
from tests.support.releases import elixir_missing

MOST_FLEET_RUNS = 2
Measure = Callable[[Lab, int], list[Row]]

# Name → the measure, and how often it is repeated unless told otherwise.
MEASURES: dict[str, tuple[Measure, int]] = {
    "swaps": (swaps.measure, 20),
    "round-trips": (distance.measure, 7),
    "no-op": (passes.no_op, 20),
    "quiet": (quiet.measure, 7),
    "rollout": (rollout.measure, 7),
    "bytes": (wire.measure, 1),
    "help": (passes.show_help, 20),
    "review": (reviews.measure, 10),
    "footprint": (passes.footprint, 5),
    "fleets": (fleets.measure, 1),
    "watch": (watching.measure, 10),  # minutes
    "soak": (soak.measure, 300),
}


def main() -> int:
    """0 when every goal is met, 1 when one is missed, 2 when nothing can be measured here."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=tests.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this measure; can be repeated")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each is repeated")
    parser.add_argument("--write", type=Path, metavar="docs/performance.md", help="measure the page, and write it")
    arguments = parser.parse_args()
    if missing := missing_requirements() or elixir_missing():
        print(missing, file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    try:
        if arguments.write:
            return _write_page(arguments.write, arguments.runs or 5, load)
        rows = _measured(arguments.only or [name for name in MEASURES if name != "soak"], arguments.runs)
    except HostsError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{_machine(load)}\n\n{table(rows)}")
    return 1 if any(row.met is False for row in rows) else 0


def _say_since(begin: float) -> Callable[[str], None]:
    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    return say


def _write_page(path: Path, runs: int, load: float) -> int:
    """The page beside other tools. It is written anew after each measure, without what is not measured yet."""
    if path.resolve() != (page.DOCS / "performance.md"):
        print(f"the page is docs/performance.md, not {path}", file=sys.stderr)
        return 2
    begin = time.monotonic()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=page.DOCS, capture_output=True, text=True, check=True
    )
    cores, processor = os.cpu_count() or 1, _processor()
    figures: dict[str, Any] = {
        "commit": commit.stdout.strip(), "date": time.strftime("%-d %B %Y", time.gmtime()),
        "machine": f"Python {platform.python_version()}, {cores} cores{processor}, Linux {platform.release()}",
        "cells": [], "fleets": [],
    }  # fmt: skip

    def write() -> None:
        page.write({
            **figures, "load": [load, os.getloadavg()[0]], "minutes": (time.monotonic() - begin) / 60
        })  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as name, ExitStack() as stack:
        folder, say = Path(name), _say_since(begin)
        (folder / "tools").mkdir()
        made = stack.enter_context(lab(folder, say, beside.WITH_PYTHON))
        figures["boot_seconds"] = rollout.boot_seconds(made)
        fleet_runs = max(1, min(runs, MOST_FLEET_RUNS))
        with beside.prepared(made, folder / "tools") as tools:
            figures["versions"] = tool_versions(tools)
            side = beside.Beside(made, tools, runs)
            for cell in side.cells():
                figures["cells"].append(cell.as_data())
                write()
            figures["fleets"] = [each.as_data() for each in fleets.figures(made, fleet_runs)]
            write()
            for cell in side.cells_of_many():
                figures["cells"].append(cell.as_data())
                write()
    print(f"{path} is written", file=sys.stderr)
    return 0


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((f" of {line.partition(':')[2].strip()}" for line in lines if line.startswith("model name")), "")


def _measured(names: list[str], runs: int | None) -> list[Row]:
    say = _say_since(time.monotonic())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as folder, lab(Path(folder), say) as made:
        for name in names:
            measure, usual = MEASURES[name]
            say(name)
            rows += measure(made, runs or usual)
    return rows


def _machine(load_before: float) -> str:
    cores = os.cpu_count() or 1
    # Our own load is about one core: what was there before shows how far the times can be believed.
    busy = "; it was busy with something else: times are too long" if load_before > cores else ""
    return (
        f"Python {platform.python_version()}, {cores} cores, load {load_before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after{busy}; a Debian host in a network namespace of the same machine"
    )


if __name__ == "__main__":
    sys.exit(main())
