"""The first rollout, and the second pass over it."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project, nothing_touched
from tests.support.collector import collecting

pytestmark = pytest.mark.hosts


def test_a_first_commit_serves_through_traefik(project: Project) -> None:
    """One file, one commit, one pass: visitors are answered, and exactly one slot is there, enabled for boot.

    A collector gets the trace of it.
    """
    with collecting() as collector:
        project.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.address
        result = project.converge()
        del project.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]

    actions = ["install", "start", "wait", "cutover", "confirm"]
    assert collector.tree == ["SYNC reconcile", f"  deploy {project.app}", *(f"    {verb}" for verb in actions)]
    assert collector.attributes(f"deploy {project.app}")["host.name"] == project.machine.name
    port = project.keys["ports"][0]
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert result.verbs == actions
    assert result.out == f"{project.machine.name}  {project.app}  0.1.0  slot {port}  converged\n"
    assert project.lies() == project.one_instance("0.1.0", port) | {"release": [project.release_id("0.1.0")]}


def test_a_second_pass_does_nothing(project: Project) -> None:
    """A pass over a converged host sends no command that changes anything."""
    project.converge()

    with nothing_touched(project.machine):
        again, plan, status = project.once(), project.plan(), project.status()

    assert (again.code, again.verbs, again.err) == (0, [], "")
    assert (plan.code, plan.out, plan.err) == (0, "nothing to do\n", "")
    assert status.pop("since")
    assert status == {
        "host": project.machine.name,
        "app": project.app,
        "wants": "0.1.0",
        "runs": "0.1.0",
        "slot": str(project.keys["ports"][0]),
        "ready": True,
        "because": "as wanted",
        "quarantined": [],
        "crash_dumps": [],
    }
