"""Each folder below `cases/` is a story: what is wanted, what was seen, and the whole plan as it is printed.

`python -m tests.decide.test_stories` writes every plan.txt anew: read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.decide.plan import plan
from reconciler.engine.report import plan_text
from tests.decide.story import Story

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/desired.yaml"))


def planned(story: Story) -> str:
    """The plan as `reconcile plan` prints it."""
    return plan_text([plan(story.wanted, story.seen)])


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_the_plan_of_a_story_is_the_one_written_down(folder: Path) -> None:
    story = Story(folder)

    assert planned(story) == story.plan_path.read_text(encoding="utf-8")


def test_there_are_at_least_twenty_stories() -> None:
    """A glob that matches nothing would leave this file without a test."""
    assert len(CASES) >= 20


if __name__ == "__main__":
    for each in CASES:
        Story(each).plan_path.write_text(planned(Story(each)), encoding="utf-8")
