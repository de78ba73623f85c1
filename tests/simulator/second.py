"""The second order: while one fault is recovered from, another strikes, at each point of that recovery."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.simulator.simulation import BEFORE, REPLIED, REPLY
from tests.simulator.sweep import FAILS, KINDS, Reference, Result, disturbed, every_point, number_of_pair

FIRST_KINDS = (*KINDS, "fail", "upload cut")
SECOND_KINDS = ("kill", "kill known", "cut", "silent", "power lost", "power torn", "fail")


def firsts(reference: Reference, count: int, dice: random.Random) -> list[int]:
    """First faults to recover from: so many, or all for 0."""
    numbers = sorted(set(every_point(reference, FIRST_KINDS)))
    return sorted(dice.sample(numbers, count)) if 0 < count < len(numbers) else numbers


def every_second(result: Result) -> Iterator[int]:
    """The runs with a second fault in the recovery of this one."""
    changes = {change for change, *_ in result.recovery}
    for kind in SECOND_KINDS:
        for change in sorted(changes):
            if kind not in FAILS:
                for boundary in (BEFORE, REPLY, REPLIED):
                    yield number_of_pair(result.number, change, boundary, kind)
        for change, _, boundary, _ in result.recovery:
            if change < 64 and boundary < 1020:
                yield number_of_pair(result.number, change, boundary, kind)


def sampled_pairs(reference: Reference, first_count: int, each: int, seed: int) -> tuple[list[int], int]:
    """Runs of the second order, and how many there are after these first faults."""
    dice = random.Random(f"{seed} {reference.story.name}")
    found, enumerated = [], 0
    for number in firsts(reference, first_count, dice):
        numbers = sorted(set(every_second(disturbed(reference, number))))
        enumerated += len(numbers)
        found += dice.sample(numbers, each) if 0 < each < len(numbers) else numbers
    return found, enumerated
