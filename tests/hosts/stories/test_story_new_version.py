"""A new version, and a changed variable, while visitors keep coming."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project, nothing_touched
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts


def test_a_new_version_and_a_changed_variable_fail_no_request(elixir_project: Project) -> None:
    """100 requests/s and slow ones in flight: none fails, the old slot is gone, a third pass does nothing."""
    project = elixir_project
    first, second = project.keys["ports"]
    project.converge(drain_seconds=4)

    with visitors(project) as load:
        upgrade = project.converge(version="0.2.0")
        assert project.get() == (200, b"Hello from my_application 0.2.0\n")
        assert project.running() == project.one_instance("0.2.0", second)

        change = project.converge(env={"GREETING": "Good day"})
        assert project.get() == (200, b"Good day from my_application 0.2.0\n")
        assert project.running() == project.one_instance("0.2.0", first)

        with nothing_touched(project.machine):
            assert project.once().verbs == []

    assert upgrade.verbs == ["install", "start", "wait", "cutover", "confirm", "drain", "stop"]
    assert [event["serves"] for event in upgrade.events if "serves" in event] == ["0.2.0"]
    assert change.verbs == ["start", "wait", "cutover", "confirm", "drain", "stop"]
    answers = [sample.body for sample in load.samples if sample.stream.startswith("GET")]
    assert set(answers) == {
        b"Hello from my_application 0.1.0\n",
        b"Hello from my_application 0.2.0\n",
        b"Good day from my_application 0.2.0\n",
    }
    assert sum(sample.stream == "slow" for sample in load.samples) >= 3


def test_an_app_that_exits_at_once_at_sigterm_fails_no_request(project: Project) -> None:
    """It ends at SIGTERM without finishing anything: the drain has waited for what was open."""
    project.converge(drain_seconds=4)

    with visitors(project):
        project.converge(version="0.2.0")

    assert project.get() == (200, b"Hello from app 0.2.0\n")
