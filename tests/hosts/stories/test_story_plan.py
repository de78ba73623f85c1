"""`reconcile plan` says all that a pass would do, and changes nothing."""

from __future__ import annotations

import re

import pytest

from tests.hosts.stories.project import Project, nothing_touched

pytestmark = pytest.mark.hosts


def told(project: Project, text: str) -> str:
    """A plan with what differs from run to run named, and its columns one space apart."""
    port, other = project.keys["ports"]
    names = {project.release_id("0.1.0"): "<0.1.0>", project.release_id("0.2.0"): "<0.2.0>"}
    names |= {project.machine.name: "web1", project.app: "hello", str(port): "4000", str(other): "4001"}
    for name, shown in names.items():
        text = text.replace(name, shown)
    return "".join(" | ".join(part.strip() for part in line.split("  ") if part) + "\n" for line in text.splitlines())


def test_a_plan_names_every_action_with_its_reason(project: Project) -> None:
    """First install, upgrade and env change: every line, its reason, and the exit code; then nothing to do."""
    project.commit()
    with nothing_touched(project.machine):
        first = project.plan()
    assert (first.code, first.err, told(project, first.out)) == (3, "", FIRST)

    project.converge()
    nothing = project.plan()
    assert (nothing.code, nothing.out, nothing.err) == (0, "nothing to do\n", "")

    project.commit(env={"GREETING": "Good day", "COLOUR": "red"})
    with nothing_touched(project.machine):
        change = project.plan()
    assert (change.code, change.err, told(project, change.out)) == (3, "", CHANGE)

    project.commit(version="0.2.0", env={"GREETING": "Hello"})
    with nothing_touched(project.machine):
        upgrade, as_json = project.plan(), project.plan("--json")
    assert (upgrade.code, upgrade.err, told(project, upgrade.out)) == (3, "", UPGRADE)
    (plan,) = as_json.data
    lines = "".join(f"web1 | {a['verb']} | hello {a['subject']} | {a['reason']}\n" for a in plan.pop("actions"))
    assert (as_json.code, told(project, lines)) == (3, UPGRADE)
    assert plan == {
        "host": project.machine.name,
        "app": project.app,
        "outcome": "converged",
        "version": "0.2.0",
        "slot": str(project.keys["ports"][1]),
    }


FIRST = """\
web1 | install | hello <0.1.0> | not on the host
web1 | start | hello slot 4000, 0.1.0 | first start
web1 | wait | hello slot 4000 | /ping healthy for 0 s, within 10 s
web1 | cutover | hello slot 4000 | healthy
web1 | confirm | hello slot 4000 | Traefik must have applied the route
"""
CHANGE = """\
web1 | start | hello slot 4001, 0.1.0 | env GREETING changed, COLOUR added
web1 | wait | hello slot 4001 | /ping healthy for 0 s, within 10 s
web1 | cutover | hello slot 4000 → 4001 | healthy
web1 | confirm | hello slot 4001 | Traefik must have applied the route
web1 | drain | hello slot 4000 | 1 s at most for open requests
web1 | stop | hello slot 4000 | replaced by slot 4001
"""
UPGRADE = """\
web1 | install | hello <0.2.0> | not on the host
web1 | start | hello slot 4001, 0.2.0 | version 0.1.0 → 0.2.0
web1 | wait | hello slot 4001 | /ping healthy for 0 s, within 10 s
web1 | cutover | hello slot 4000 → 4001 | healthy
web1 | confirm | hello slot 4001 | Traefik must have applied the route
web1 | drain | hello slot 4000 | 1 s at most for open requests
web1 | stop | hello slot 4000 | replaced by slot 4001
"""


def test_a_plan_that_cannot_be_carried_out_exits_1(project: Project) -> None:
    """The plan already reports an obstacle that no pass could overcome."""
    project.commit(version="0.3.0")

    plan = project.plan()

    artifact = f"desired-state/../build/{project.app}-0.3.0.tar.gz"
    assert (plan.code, re.sub(r"since [-0-9]+ [0-9:]+ UTC", "since <time>", plan.out)) == (
        1,
        f"host {project.machine.name}: {project.app}: waiting for the artifact since <time>, grace 30 min: "
        f"the artifact {artifact} is not there\n"
        "  next: nothing, if it is on its way; else build it, or correct artifact.source\n",
    )
