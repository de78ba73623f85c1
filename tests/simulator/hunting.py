"""Looks for one planted mistake, inside the copy that has it."""

from __future__ import annotations

from tests.simulator.menu import MOST_CALLS, order, serve, whole_menu
from tests.simulator.oracles import Broken
from tests.simulator.planted import Planted, by_name
from tests.simulator.special import SPECIAL
from tests.simulator.stories import by_name as story_of
from tests.simulator.swarm import live
from tests.simulator.sweep import disturbed, every_point, fault_of, undisturbed


def find(bug: Planted) -> tuple[str, str]:
    """(oracle, what it says), both empty when nothing shows."""
    if bug.kinds in SPECIAL:
        try:
            SPECIAL[bug.kinds]()
        except Broken as error:
            return error.oracle, error.what
        return "", ""
    if bug.kinds.startswith("seed "):
        return next(iter(live(int(bug.kinds.partition(" ")[2])).broken), ("", ""))
    if bug.kinds.startswith("menu "):
        kind = bug.kinds.partition(" ")[2]
        calls = [number for number in whole_menu(MOST_CALLS) if order(number).kind == kind]
        return next((served.broken[0] for number in calls if (served := serve(number)).broken), ("", ""))
    try:
        reference = undisturbed(story_of(bug.story))
    except Broken as error:
        return error.oracle, error.what
    if not bug.kinds:
        return "", ""
    for number in every_point(reference, tuple(bug.kinds.split(","))):
        _, change, boundary, _ = fault_of(number)
        command = next((p.command for p in reference.points if (p.change, p.boundary) == (change, boundary)), "")
        if bug.verb in ("", reference.verb_of(change)) and (not bug.command or bug.command in command):
            result = disturbed(reference, number)
            if result.broken:
                return result.broken[0]
    return "", ""


def main(name: str) -> None:
    oracle, what = find(by_name(name))
    print(what)
    print(f"found by {oracle}" if oracle else "not found")
