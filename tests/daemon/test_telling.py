"""Messages over the life of a watch: an invalid commit, and its end with the next valid one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.daemon.after_pass import PassReports
from reconciler.desired_state.git.commit import RemoteUnreachable
from reconciler.errors import GitError, InvalidDesiredState, Problem, ReconcileError
from reconciler.model.desired import Desired, Fleet
from reconciler.targets.open_fleet import OpenFleet
from tests.support.receiver import COMMIT, GITHUB, NEXT_COMMIT, STATUS, WEBHOOK, Server, Teller, receiving

DESIRED = Desired(Fleet(), (), COMMIT, Path(), committed_at=1_000_000.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with receiving() as told:
        yield told


def heard(server: Server, *passes: ReconcileError | Desired) -> list[dict[str, Any]]:
    """The messages sent for this sequence of desired states and errors."""
    teller = Teller(server, WEBHOOK, GITHUB)
    fleet = Fleet.model_construct(**{**dict(Fleet()), "notify": tuple(teller.settings)})
    reports = PassReports(None, notifier=teller.notifier)

    async def all_of_them() -> None:
        teller.notifier.use = lambda settings, secret: None  # type: ignore[method-assign]
        for each in passes:
            if isinstance(each, ReconcileError):
                reports.report_error(each)
            else:
                reports.report_in_background(OpenFleet(replace(each, fleet=fleet)), [], 1.0)
            await asyncio.gather(*reports.background)

    asyncio.run(all_of_them())
    return server.bodies


def notices(bodies: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["event"], each["text"]) for body in bodies if "notices" in body for each in body["notices"]]


def invalid() -> InvalidDesiredState:
    error = InvalidDesiredState((Problem("apps/hello.yaml", 3, 1, "verison", "is not a key"),))
    error.revision = NEXT_COMMIT
    return error


def test_an_invalid_commit_and_its_end_are_reported_once(server: Server) -> None:
    bodies = heard(server, DESIRED, invalid(), invalid(), DESIRED)

    assert notices(bodies) == [
        ("failed", "apps/hello.yaml:3:1 verison: is not a key"),
        ("recovered", "can be used again"),
    ]
    assert ("reconcile", "failure") in [(body["context"], body["state"]) for body in bodies if "context" in body]


def test_an_older_commit_in_force_does_not_count_as_recovery(server: Server) -> None:
    """A commit that is not signed: passes go on with the one before."""
    refused = GitError("commit bbbbbbb is not signed")
    refused.revision = NEXT_COMMIT

    bodies = heard(server, refused, replace(DESIRED, refused=refused), refused, replace(DESIRED, refused=refused))

    assert [event for event, _ in notices(bodies)] == ["failed"]
    assert {each for each in server.asked if "statuses" in each} == {f"POST {STATUS.replace(COMMIT, NEXT_COMMIT)}"}


def test_a_briefly_unreachable_repository_is_not_reported(server: Server) -> None:
    assert notices(heard(server, DESIRED, RemoteUnreachable("no answer"), DESIRED)) == []


def test_the_age_of_the_commit_is_measured_and_removed_hosts_are_not() -> None:
    reports = PassReports(None)
    reports.metrics.observe_pass("gone", 1.0, [])

    asyncio.run(reports.report_pass(OpenFleet(DESIRED), [], 1.0))

    shown = reports.metrics.render().decode()
    age = re.search(r"^reconcile_git_head_age_seconds (\S+)$", shown, re.MULTILINE)
    assert age and float(age[1]) > 1_000_000
    assert "gone" not in shown
