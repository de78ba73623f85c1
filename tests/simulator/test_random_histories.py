"""Random histories, and a second fault in the recovery from the first; the report runs many more."""

from __future__ import annotations

import pytest

from tests.simulator.sampled import reference_of
from tests.simulator.second import sampled_pairs
from tests.simulator.stories import by_name
from tests.simulator.swarm import live, plan_of
from tests.simulator.sweep import disturbed

SEEDS = (6, 12, 22, 23)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_ends_as_the_newest_commit_wants_it(seed: int) -> None:
    lived = live(seed)

    assert (str(lived.plan), lived.broken) == (str(plan_of(seed)), [])


@pytest.mark.parametrize("story", ["upgrade", "migration"])
def test_a_second_fault_in_the_recovery_changes_nothing_about_the_end(story: str) -> None:
    reference = reference_of(by_name(story))

    pairs, _ = sampled_pairs(reference, 1, 2, seed=3)

    assert [(result.number, result.broken) for result in map(lambda n: disturbed(reference, n), pairs)] == [
        (number, ()) for number in pairs
    ]
