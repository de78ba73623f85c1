"""A fair sample of all crash points; `python -m tests.simulator report` runs every one."""

from __future__ import annotations

import pytest

from reconciler.tools import scripts
from reconciler.tools.host_program import verbs
from tests.simulator.shell import outside_paths
from tests.simulator.special import SPECIAL
from tests.simulator.stories import GAPS, STORIES, Story, by_name
from tests.simulator.sweep import KINDS, UPLOADS, Reference, disturbed, fair_sample, undisturbed

SAMPLE = 5
_REFERENCES: dict[str, Reference] = {}


def reference_of(story: Story) -> Reference:
    if story.name not in _REFERENCES:
        _REFERENCES[story.name] = undisturbed(story)
    return _REFERENCES[story.name]


def _marked(story: Story) -> object:
    gap = GAPS.get(story.name)
    marks = [pytest.mark.xfail(reason=gap, strict=True)] if gap else []
    return pytest.param(story, id=story.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("story", [_marked(story) for story in STORIES])
def test_a_story_interrupted_at_any_point_ends_as_it_does_undisturbed(story: Story) -> None:
    """Killed, cut off, without power, or with half of its input: every invariant holds, and the end is the same."""
    reference = reference_of(story)

    results = [disturbed(reference, number) for number in fair_sample(reference, SAMPLE, (*KINDS, *UPLOADS))]

    assert [(r.number, r.fault, r.verb, r.command, r.broken) for r in results if not r.passed] == []
    assert any(result.happened for result in results)


@pytest.mark.parametrize("name", SPECIAL)
def test_what_comes_late_or_altered_changes_nothing(name: str) -> None:
    SPECIAL[name]()


def test_one_integer_reproduces_a_run() -> None:
    reference = reference_of(by_name("env change"))
    number = fair_sample(reference, 3, KINDS)[1]

    assert disturbed(reference, number) == disturbed(reference, number)


def test_no_script_reaches_beyond_the_folder_of_its_host() -> None:
    """Whatever path of the system a script names is one inside of the host's folder."""
    texts = [scripts.look_script("system").text, scripts.finish_script("system").text]
    for name, signature in verbs().items():
        if signature.shape == "change":
            texts.append(scripts.change_script(name, "system").text)

    assert [path for text in texts for path in outside_paths(text)] == []
