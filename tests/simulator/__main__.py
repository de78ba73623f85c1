"""The simulator by hand: the report, and one run again by its number.

python -m tests.simulator report           a sample, in minutes; writes docs/reliability.md
python -m tests.simulator report --full    every crash point and the whole menu, in hours
python -m tests.simulator replay NUMBER    a crash point, or a pair
python -m tests.simulator menu NUMBER      a thing that goes wrong at a call
python -m tests.simulator seed NUMBER      a random history
python -m tests.simulator swarm FROM TO    many of them
python -m tests.simulator hunt [NAME …]    the planted bugs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tests.simulator.menu import serve
from tests.simulator.planted import PLANTED, by_name, hunt
from tests.simulator.swarm import live
from tests.simulator.sweep import disturbed, fault_of, undisturbed

QUICK_POINTS = 3


def main() -> int:
    what = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__, formatter_class=what)
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="run it, and write docs/reliability.md")
    report.add_argument("--full", action="store_true", help="everything, and the planted bugs, too")
    report.add_argument("--points", type=int, default=QUICK_POINTS, help="crash points of each story in a sample")
    report.add_argument("--seed", type=int, default=1, help="of all that is left to chance")
    report.add_argument("--workers", type=int, default=0, help="processes; 0 for one a core")
    report.add_argument("--planted-from", type=Path, help="what `hunt` printed, instead of hunting")
    for name in ("replay", "menu", "seed"):
        commands.add_parser(name, help="one run again").add_argument("number", type=int)
    swarm = commands.add_parser("swarm", help="random histories")
    swarm.add_argument("first", type=int)
    swarm.add_argument("last", type=int)
    commands.add_parser("hunt", help="look for planted bugs").add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.command == "report":
        from tests.simulator.report import write_report

        return write_report(options)
    run = {"replay": _replay, "menu": _menu, "seed": _seed, "swarm": _swarm, "hunt": _hunt}[options.command]
    return run(options)


def _tell(broken: Any) -> int:
    for oracle, what in broken:
        print(f"broken: {oracle}: {what}")
    return 1 if broken else 0


def _replay(options: argparse.Namespace) -> int:
    story, change, boundary, kind = fault_of(options.number)
    print(f"{story.name}: {kind} at change {change}, boundary {boundary}")
    result = disturbed(undisturbed(story), options.number)
    print(f"{result.verb}: {result.command}{'; then ' + result.second if result.second else ''}")
    return _tell(result.broken)


def _menu(options: argparse.Namespace) -> int:
    served = serve(options.number)
    print(f"{served.ordered}: {served.call}")
    return _tell(served.broken)


def _seed(options: argparse.Namespace) -> int:
    lived = live(options.number)
    print(lived.plan)
    print("\n".join(lived.trace))
    return _tell(lived.broken)


def _swarm(options: argparse.Namespace) -> int:
    failed = 0
    for seed in range(options.first, options.last + 1):
        broken = live(seed).broken
        failed += bool(broken)
        print(f"seed {seed}: {'; '.join(': '.join(each) for each in broken[:2]) or 'holds'}", flush=True)
    return 1 if failed else 0


def _hunt(options: argparse.Namespace) -> int:
    missed = 0
    for bug in [by_name(name) for name in options.names] or PLANTED:
        found = hunt(bug)
        missed += not found or found.startswith("crash")
        print(f"{bug.name}: {found or 'not found'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
