"""Rollouts that are interrupted at any point end as they do undisturbed."""

from __future__ import annotations

import pytest

from tests.simulator.sampled import hold_crash_points, stories_of
from tests.simulator.stories import Story


@pytest.mark.parametrize("story", stories_of("rollout"))
def test_a_rollout_interrupted_at_any_point_ends_as_it_does_undisturbed(story: Story) -> None:
    hold_crash_points(story)
