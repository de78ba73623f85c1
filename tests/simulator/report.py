"""docs/reliability.md: what was run, what held, and what is known not to hold. The page itself is in `page`."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.simulator.menu import MOST_CALLS, Served, sampled_menu, serve
from tests.simulator.oracles import Broken
from tests.simulator.planted import PLANTED, REPOSITORY, Planted, hunt
from tests.simulator.pool import Crashed, side_by_side
from tests.simulator.second import sampled_pairs
from tests.simulator.special import SPECIAL
from tests.simulator.stories import GAPS, STORIES
from tests.simulator.swarm import Lived, live
from tests.simulator.sweep import ALL_KINDS, Reference, Result, disturbed, every_point, fair_sample, undisturbed

PAGE = REPOSITORY / "docs" / "reliability.md"


@dataclass(frozen=True)
class Size:
    """How much is run; 0 is all there is."""

    points: int  # of the first order, a story
    firsts: int  # first faults, a story, in the recovery from which a second strikes
    seconds: int  # second faults, each of those
    menu: int
    seeds: int


QUICK, FULL = Size(3, 1, 1, 23, 12), Size(0, 40, 25, 0, 400)


@dataclass
class Evidence:
    """All results."""

    size: Size
    seed: int
    references: dict[str, Reference] = field(default_factory=dict)
    points_there: int = 0
    points: list[Result] = field(default_factory=list)
    pairs_there: int = 0
    pairs: list[Result] = field(default_factory=list)
    menu: list[Served] = field(default_factory=list)
    seeds: list[Lived] = field(default_factory=list)
    special: list[tuple[str, str]] = field(default_factory=list)
    planted: list[tuple[Planted, str]] = field(default_factory=list)
    crashed: list[Crashed] = field(default_factory=list)
    seconds: float = 0.0
    workers: int = 1

    @property
    def checks(self) -> Counter[str]:
        """How often each oracle was asked."""
        found: Counter[str] = Counter()
        for run in (*self.points, *self.pairs):
            found.update(dict(run.oracles))
        for served in self.menu:
            found.update(dict(served.checks))
        for lived in self.seeds:
            found.update(lived.checks)
        return found

    @property
    def runs(self) -> list[Any]:
        return [*self.points, *self.pairs, *self.menu, *self.seeds]

    @property
    def failed(self) -> int:
        return (
            sum(bool(run.broken) for run in self.runs) + sum(bool(why) for _, why in self.special) + len(self.crashed)
        )


def write_report(options: argparse.Namespace) -> int:
    """Run it and write the page. 0 when all held, but for the gaps that are known."""
    from tests.simulator.page import page

    size = FULL if options.full else replace(QUICK, points=options.points, menu=max(QUICK.menu, options.points))
    evidence = gather(size, options.seed, options.workers or os.cpu_count() or 1)
    if options.planted_from:
        evidence.planted = list(_read_hunt(options.planted_from.read_text()))
    elif options.full:
        evidence.planted = _run(_hunted, list(PLANTED), evidence, "planted bugs")
    PAGE.write_text(page(evidence))
    print(f"{PAGE}: {len(evidence.runs)} runs, {evidence.failed} failed")
    return 1 if evidence.failed else 0


def gather(size: Size, seed: int, workers: int) -> Evidence:
    evidence, began = Evidence(size, seed, workers=workers), time.monotonic()
    stories = [story for story in STORIES if story.name not in GAPS]
    references = evidence.references = {story.name: undisturbed(story) for story in stories}  # the workers are forks
    print(f"stories: {len(references)}", flush=True)
    evidence.points_there = sum(len(set(every_point(each, ALL_KINDS))) for each in references.values())
    numbers = [(name, number) for name, each in references.items() for number in _points(each, size.points)]
    evidence.points = _run(lambda each: disturbed(references[each[0]], each[1]), numbers, evidence, "first order")

    def pairs_of(name: str) -> tuple[str, list[int], int]:
        return name, *sampled_pairs(references[name], size.firsts, size.seconds, seed)

    pairs = []
    for name, found, there in _run(pairs_of, list(references), evidence, "recoveries"):
        evidence.pairs_there += there
        pairs += [(name, number) for number in found]
    evidence.pairs = _run(lambda each: disturbed(references[each[0]], each[1]), pairs, evidence, "second order")
    evidence.menu = _run(serve, sampled_menu(MOST_CALLS, size.menu, seed), evidence, "menu")
    evidence.seeds = _run(live, list(range(seed, seed + size.seeds)), evidence, "random histories")
    evidence.special = _run(_special, list(SPECIAL), evidence, "special")
    evidence.seconds = time.monotonic() - began
    return evidence


def _points(reference: Reference, count: int) -> Iterable[int]:
    return fair_sample(reference, count, ALL_KINDS) if count else sorted(set(every_point(reference, ALL_KINDS)))


def _run(function: Callable[[Any], Any], items: list[Any], evidence: Evidence, what: str) -> list[Any]:
    results = []
    for result in side_by_side(function, items, evidence.workers):
        if isinstance(result, Crashed):
            evidence.crashed.append(result)
        else:
            results.append(result)
    print(f"{what}: {len(results)}", flush=True)
    return results


def _special(name: str) -> tuple[str, str]:
    try:
        SPECIAL[name]()
    except Broken as error:
        return name, str(error)
    return name, ""


def _hunted(bug: Planted) -> tuple[Planted, str]:
    return bug, hunt(bug)


def _read_hunt(text: str) -> Iterable[tuple[Planted, str]]:
    """What `hunt` printed."""
    said = dict(line.rpartition(": ")[::2] for line in text.splitlines() if ": " in line)
    for bug in PLANTED:
        if bug.name in said:
            yield bug, said[bug.name].removeprefix("not found")


def mutation_result(root: Path = REPOSITORY) -> Path:
    return root / "tests" / "mutation" / "result.json"
