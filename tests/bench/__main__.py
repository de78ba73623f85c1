"""Measure, and print one table; see the package's docstring."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tests.bench
from tests.bench import distance, passes, reviews, rollout, soak, swaps, watching, wire
from tests.bench.fleet import measures as fleets
from tests.bench.lab import Lab, lab
from tests.bench.table import Row, table
from tests.hosts.farm import missing_requirements
from tests.hosts.process import HostsError
from tests.support.releases import elixir_missing

Measure = Callable[[Lab, int], list[Row]]

# Name → the measure, and how often it is repeated unless told otherwise.
MEASURES: dict[str, tuple[Measure, int]] = {
    "swaps": (swaps.measure, 20),
    "round-trips": (distance.measure, 7),
    "no-op": (passes.no_op, 20),
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
    arguments = parser.parse_args()
    if missing := missing_requirements() or elixir_missing():
        print(missing, file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    try:
        rows = _measured(arguments.only or [name for name in MEASURES if name != "soak"], arguments.runs)
    except HostsError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{_machine(load)}\n\n{table(rows)}")
    return 1 if any(row.met is False for row in rows) else 0


def _measured(names: list[str], runs: int | None) -> list[Row]:
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

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
