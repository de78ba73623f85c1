"""Releases that fail, and what mends them, interrupted at any point."""

from __future__ import annotations

import pytest

from tests.simulator.sampled import hold_crash_points, stories_of
from tests.simulator.stories import Story


@pytest.mark.parametrize("story", stories_of("failure"))
def test_a_failure_interrupted_at_any_point_ends_as_it_does_undisturbed(story: Story) -> None:
    hold_crash_points(story)
