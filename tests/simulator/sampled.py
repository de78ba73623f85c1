"""A fair sample of what `python -m tests.simulator report --full` runs, for the tests that CI runs."""

from __future__ import annotations

import pytest

from tests.simulator.stories import GAPS, STORIES, Story
from tests.simulator.sweep import KINDS, UPLOADS, Reference, disturbed, fair_sample, undisturbed

SAMPLE = 4
_REFERENCES: dict[str, Reference] = {}


def reference_of(story: Story) -> Reference:
    if story.name not in _REFERENCES:
        _REFERENCES[story.name] = undisturbed(story)
    return _REFERENCES[story.name]


def stories_of(part: str) -> list[object]:
    """As parameters of a test. What is known not to hold must fail."""
    found: list[object] = []
    for story in STORIES:
        if story.part == part:
            gap = GAPS.get(story.name)
            marks = [pytest.mark.xfail(reason=gap, strict=True)] if gap else []
            found.append(pytest.param(story, id=story.name.replace(" ", "-"), marks=marks))
    return found


def hold_crash_points(story: Story) -> None:
    """Killed, cut off, without power, or with half of its input: every invariant holds, and the end is the same."""
    reference = reference_of(story)

    results = [disturbed(reference, number) for number in fair_sample(reference, SAMPLE, (*KINDS, *UPLOADS))]

    assert [(r.number, r.fault, r.verb, r.command, r.broken) for r in results if not r.passed] == []
    assert any(result.happened for result in results)
