"""Commands that come late, twice or altered; and what the simulator promises of itself."""

from __future__ import annotations

import pytest

from reconciler.tools import scripts
from reconciler.tools.host_program import verbs
from tests.simulator.sampled import reference_of
from tests.simulator.shell import outside_paths
from tests.simulator.special import SPECIAL
from tests.simulator.stories import by_name
from tests.simulator.sweep import KINDS, disturbed, fair_sample


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
