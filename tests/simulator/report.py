"""docs/reliability.md: what was run, what held, and what is known not to hold."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from tests.simulator.oracles import Broken
from tests.simulator.planted import PLANTED, REPOSITORY, Planted, hunt
from tests.simulator.pool import Crashed, side_by_side
from tests.simulator.special import SPECIAL
from tests.simulator.stories import GAPS, STORIES, Story
from tests.simulator.sweep import ALL_KINDS, Reference, Result, disturbed, every_point, fair_sample, undisturbed

PAGE = REPOSITORY / "docs" / "reliability.md"


def write_report(options: argparse.Namespace) -> int:
    """Everything. 0 when all that was run held, but for the gaps that are known."""
    began = time.monotonic()
    workers = options.workers or os.cpu_count() or 1
    stories = [story for story in STORIES if story.name not in GAPS]
    references = dict(_references(stories, workers))
    numbers = [(story.name, number) for story in stories for number in _numbers(references[story.name], options.each)]
    first = _run(lambda each: disturbed(references[each[0]], each[1]), numbers, workers, "first order")
    specials = _run(_special, list(SPECIAL), workers, "special")
    planted = [] if options.without_planted else _run(_hunted, list(PLANTED), workers, "planted")
    enumerated = sum(len(set(every_point(each, ALL_KINDS))) for each in references.values())
    text = page(references, first, enumerated, specials, planted, time.monotonic() - began, workers)
    PAGE.write_text(text)
    failed = [each for each in first if isinstance(each, Crashed) or not each.passed]
    print(f"{PAGE}: {len(first)} runs, {len(failed)} failed")
    return 1 if failed else 0


def _references(stories: list[Story], workers: int) -> Iterable[tuple[str, Reference]]:
    for each in side_by_side(undisturbed, stories, workers):
        if isinstance(each, Crashed):
            raise AssertionError(f"{each.item.name}: {each.why}")
        yield each.story.name, each


def _numbers(reference: Reference, count: int) -> list[int]:
    return fair_sample(reference, count, ALL_KINDS) if count else sorted(set(every_point(reference, ALL_KINDS)))


def _run(function: Callable[[Any], Any], items: list[Any], workers: int, what: str) -> list[Any]:
    results = []
    for result in side_by_side(function, items, workers):
        results.append(result)
        if len(results) % 50 == 0:
            print(f"{what}: {len(results)} of {len(items)}", flush=True)
    return results


def _special(name: str) -> tuple[str, str]:
    try:
        SPECIAL[name]()
    except Broken as error:
        return name, str(error)
    return name, ""


def _hunted(bug: Planted) -> tuple[Planted, str]:
    return bug, hunt(bug)


def page(
    references: dict[str, Reference],
    first: list[Result | Crashed],
    enumerated: int,
    specials: list[Any],
    planted: list[Any],
    seconds: float,
    workers: int,
) -> str:
    """The text. Nothing in it is written by hand but for what the numbers mean."""
    results = [each for each in first if isinstance(each, Result)]
    crashed = [each for each in first if isinstance(each, Crashed)]
    happened = [each for each in results if each.happened]
    passes = [each.passes for each in results if each.passed]
    checks = sum(each.checks for each in results) + sum(each.checks for each in references.values())
    hours = sum(each.virtual_seconds for each in results) / 3600
    requests, lost = sum(each.requests for each in results), sum(each.lost for each in results)
    found = [(bug, oracle) for bug, oracle in planted if oracle and not oracle.startswith("crash")]
    lines = [
        "# Reliability",
        "",
        "Written by `python -m tests.simulator report`; edit the simulator, not this page. It runs the real engine",
        "and the real scripts, command by command, over hosts in folders whose systemd, Traefik and disks are models.",
        "",
        "| what | |",
        "|---|---|",
        f"| crash points enumerated, run, passed | {enumerated}, {len(first)}, {sum(r.passed for r in results)} |",
        f"| of these the fault struck | {len(happened)} |",
        f"| simulated time | {hours:.0f} h |",
        f"| questions to the oracles | {checks} |",
        f"| passes until converged after the fault: median, most | {median(passes):g}, {max(passes)} |"
        if passes
        else "| passes | - |",
        f"| visitors' requests, and those during which nobody answered | {requests:.0f}, {lost:.0f} |",
        f"| planted bugs found | {len(found)} of {len(planted)} |" if planted else "| planted bugs | not hunted |",
        f"| took | {seconds / 60:.0f} min on {workers} processes |",
        "",
        "Nobody answers while a host boots after a power cut: the oracle of invariant 1 allows no other loss.",
        "",
        "## Faults and scripts",
        "",
        *_matrix(results),
        "",
        "## Stories",
        "",
        "| story | boundaries | runs | failed |",
        "|---|---|---|---|",
        *(_story_row(name, references[name], results) for name in references),
        "",
        "## Late, altered, asleep",
        "",
        *(f"- {name}: {said or 'holds'}" for name, said in sorted(specials)),
        "",
        *_failures(results, crashed),
        *_planted(planted),
        "## Known gaps",
        "",
        *(f"- {name}: {why}" for name, why in GAPS.items()),
        "- One host and one or two apps a story: order among hosts is shown by tests/decide/test_fleet.py.",
        "- `fetch: host`, a managed Traefik, scope `user`, epmd and htpasswd files are not simulated.",
        "- Background jobs and members of a pipeline are no crash points of their own.",
        "",
    ]
    return "\n".join(lines)


def _matrix(results: list[Result]) -> list[str]:
    verbs = sorted({each.verb for each in results})
    cells: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for each in results:
        cells[each.kind, each.verb][each.passed] += 1

    def cell(kind: str, verb: str) -> str:
        counted = cells[kind, verb]
        total = counted.total()
        return "" if not total else str(total) if not counted[False] else f"{total}, **{counted[False]} failed**"

    rows = ["| " + " | ".join([kind, *(cell(kind, verb) for verb in verbs)]) + " |" for kind in ALL_KINDS]
    return ["| fault | " + " | ".join(verbs) + " |", "|---" * (len(verbs) + 1) + "|", *rows]


def _story_row(name: str, reference: Reference, results: list[Result]) -> str:
    own = [each for each in results if each.story == name]
    failed = sum(not each.passed for each in own)
    return f"| {name} | {len(reference.points)} | {len(own)} | {failed or ''} |"


def _failures(results: list[Result], crashed: list[Crashed]) -> list[str]:
    failed = sorted((each for each in results if not each.passed), key=lambda each: each.number)
    if not failed and not crashed:
        return []
    lines = ["## Failed", "", "`python -m tests.simulator replay NUMBER` shows one again.", ""]
    kinds: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for each in failed:
        kinds[each.kind, each.command, each.broken[0][0]].append(each)
    for (kind, command, oracle), some in sorted(kinds.items()):
        what = some[0].broken[0][1].partition(" ")[2]
        numbers = ", ".join(str(each.number) for each in some[:3])
        lines.append(f"- {kind}, before `{command or some[0].fault}`: {oracle}: {what[:160]} ({len(some)}: {numbers})")
    lines += [f"- a run without an end: {each.item}: {each.why[:160]}" for each in crashed]
    return [*lines, ""]


def _planted(planted: list[Any]) -> list[str]:
    if not planted:
        return []
    rows = [f"| {bug.floor} | {bug.name} | {oracle or '**not found**'} |" for bug, oracle in sorted(planted, key=str)]
    return ["## Planted bugs", "", "| where | what | found by |", "|---|---|---|", *rows, ""]
