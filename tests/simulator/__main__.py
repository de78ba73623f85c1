"""`python -m tests.simulator report` runs everything and writes docs/reliability.md; also `replay N`, `hunt [NAME]`."""

from __future__ import annotations

import argparse
import sys

from tests.simulator.planted import PLANTED, by_name, hunt
from tests.simulator.sweep import disturbed, fault_of, undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="run all, and write docs/reliability.md")
    report.add_argument("--each", type=int, default=0, help="runs a story; 0 for every crash point")
    report.add_argument("--second", type=int, default=20, help="runs of the second order a story; 0 for none")
    report.add_argument("--swarm", type=int, default=40, help="seeds of random histories")
    report.add_argument("--workers", type=int, default=0, help="processes; 0 for one a core")
    report.add_argument("--without-planted", action="store_true", help="hunt no planted bugs")
    replay = commands.add_parser("replay", help="one run again, by its number")
    replay.add_argument("number", type=int)
    hunting = commands.add_parser("hunt", help="look for planted bugs")
    hunting.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.command == "replay":
        return _replay(options.number)
    if options.command == "hunt":
        return _hunt(options.names)
    from tests.simulator.report import write_report

    return write_report(options)


def _replay(number: int) -> int:
    story, change, boundary, kind = fault_of(number)
    print(f"{story.name}: {kind} at change {change}, boundary {boundary}")
    result = disturbed(undisturbed(story), number)
    print(f"{result.verb}: {result.command}")
    for oracle, what in result.broken:
        print(f"broken: {oracle}: {what}")
    return 0 if result.passed else 1


def _hunt(names: list[str]) -> int:
    missed = 0
    for bug in [by_name(name) for name in names] or PLANTED:
        found = hunt(bug)
        missed += not found or found.startswith("crash")
        print(f"{bug.name}: {found or 'not found'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
