"""Soak, suspend, rollback and retry."""

from __future__ import annotations

import re

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project
from tests.hosts.stories.small_release import small_release

pytestmark = pytest.mark.hosts


@pytest.fixture
def project(new_project: NewProject, own: Machine) -> Project:
    return new_project(own)


def test_a_release_that_dies_in_its_soak_is_replaced_by_the_old_instance(project: Project) -> None:
    """Healthy at the cutover, dead soon after: the old slot takes over, and the version stays away."""
    project.add_artifact(small_release("0.2.0", die_after_seconds=4), "0.2.0")
    project.converge()
    project.commit(version="0.2.0", soak_seconds=30)

    result = project.once()

    assert result.code == 1
    after = result.verbs[result.verbs.index("goback") :]
    assert after[:4] == ["goback", "confirm", "drain", "stop"], str(result)
    # It is stopped once more if systemd has started it again between the look and the stop.
    assert set(after[4:]) <= {"drain", "stop"}, str(result)
    # Which is seen first, its end or three health checks that nobody answers, is a matter of moments.
    assert re.search(r"version 0\.2\.0 failed here: .*after the cutover", result.told), str(result)
    assert project.running() == project.one_instance("0.1.0", project.keys["ports"][0])
    assert project.get()[0] == 200
    assert project.once().verbs == []


def test_the_old_instance_stops_after_a_successful_soak(project: Project) -> None:
    project.converge()

    result = project.converge(version="0.2.0", soak_seconds=3)

    assert result.verbs[-3:] == ["soak", "drain", "stop"]
    assert project.running() == project.one_instance("0.2.0", project.keys["ports"][1])


def test_a_suspended_app_is_not_changed_and_is_reported_as_suspended(project: Project) -> None:
    project.converge()
    assert project.run("suspend", project.app, "--reason", "freeze #12", "--for", "2h").code == 0
    project.commit(version="0.2.0")

    result = project.once()
    assert (result.code, result.verbs) == (1, [])
    assert "freeze #12; it would" in result.told
    assert "freeze #12" in project.status()["because"]
    assert project.run("resume", project.app).code == 0
    assert project.once().code == 0


def test_a_rollback_lasts_until_the_next_commit(project: Project) -> None:
    """--now goes back at once and exits 1; the next passes leave it so; a new commit goes on."""
    project.converge()
    project.converge(version="0.2.0")
    assert project.run("rollback", project.app).code == 0

    assert project.run("rollback", project.app, "--now").code == 1
    assert project.version_served == "0.1.0"
    held = project.once()
    assert (held.code, held.verbs) == (1, [])
    assert "rolled back by hand" in held.told
    assert project.converge(env={"GREETING": "Hi"}).code == 0
    assert project.version_served == "0.2.0"


def test_retry_tries_a_failed_version_again(project: Project) -> None:
    project.converge()
    project.machine.run("mkdir -p /run/broken")
    project.commit(env={"GREETING": "Hello", "FAIL_BOOT": "1"})
    assert project.once().code == 1

    again = project.run("retry", project.app)
    assert again.code == 1
    assert "reject" in again.verbs


def test_history_shows_who_changed_an_app_when_and_why(project: Project) -> None:
    project.converge()
    project.converge(version="0.2.0")

    first, second = project.run("history", project.app, "--json").data
    assert (first["from"], first["to"], first["outcome"]) == ("", "0.1.0", "converged")
    assert (second["from"], second["to"], second["why"]) == ("0.1.0", "0.2.0", "version 0.1.0 → 0.2.0")
    assert second["commit"] and ":" in second["who"] and second["at"] >= first["at"]


def test_an_app_set_up_by_hand_is_adopted_without_an_outage(project: Project) -> None:
    """Its unit and route are refused until they are adopted; then the next pass replaces them, old one last."""
    first, _ = project.keys["ports"]
    release = project.folder / "build" / f"{project.app}-0.1.0.tar.gz"
    project.machine.write("/tmp/by-hand.tar.gz", release.read_bytes())
    project.machine.run(
        f"mkdir -p /opt/by-hand && tar -xzf /tmp/by-hand.tar.gz -C /opt/by-hand\n"
        f"printf '[Service]\\nEnvironment=PORT=%%i GREETING=Old\\nExecStart=/opt/by-hand/bin/app start\\n"
        f"[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/{project.app}@.service\n"
        f"systemctl daemon-reload && systemctl enable --now {project.app}@{first}"
    )
    project.commit(version="0.2.0")
    refused = project.once()
    assert (refused.code, refused.verbs) == (1, [])
    assert "was not written by reconcile" in refused.told

    assert project.run("adopt", project.app).code == 0
    assert project.once().code == 0
    assert project.version_served == "0.2.0"
    assert project.running() == project.one_instance("0.2.0", project.keys["ports"][1])
