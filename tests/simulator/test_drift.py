"""What somebody did to a host is mended, interrupted at any point, as it is undisturbed."""

from __future__ import annotations

import pytest

from tests.simulator.sampled import hold_crash_points, stories_of
from tests.simulator.stories import Story


@pytest.mark.parametrize("story", stories_of("drift"))
def test_a_repair_interrupted_at_any_point_ends_as_it_does_undisturbed(story: Story) -> None:
    hold_crash_points(story)
