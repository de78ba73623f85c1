"""notify/github.py against a server that answers like GitHub: statuses of commits, and deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.receiver import COMMIT, GITHUB, NEXT_COMMIT, STATUS, Server, Teller, bad, good, receiving, rolled_out


@pytest.fixture
def server() -> Iterator[Server]:
    with receiving() as told:
        yield told


def test_github_sees_one_status_an_app_and_commit(server: Server) -> None:
    """Pending until every host was seen at this commit; nothing more once it is said, but for each new commit."""
    known = [("hello", "web1"), ("hello", "web2"), ("shop", "web1")]
    teller = Teller(server, GITHUB)

    async def passes() -> None:
        await teller.passes(good(), good("shop"), known=known)
        for _ in range(100):
            await teller.passes(good(host="web2"), known=known)
            await teller.passes(good(), good("shop"), known=known)
        await teller.passes(good(), good(host="web2"), good("shop"), known=known, revision=NEXT_COMMIT)

    asyncio.run(passes())

    said = [
        (path[-3:], body["context"], body["state"], body["description"])
        for path, body in zip(server.asked, server.bodies, strict=True)
    ]
    assert said == [
        ("aaa", "reconcile/hello", "pending", "in progress"),
        ("aaa", "reconcile/shop", "success", "runs 1 on web1"),
        ("aaa", "reconcile/hello", "success", "runs 1 on web1, web2"),
        ("bbb", "reconcile/hello", "success", "runs 1 on web1, web2"),
        ("bbb", "reconcile/shop", "success", "runs 1 on web1"),
    ]  # fmt: skip
    assert server.headers[0]["authorization"] == "Bearer ghp_Hush-token-2"
    assert server.headers[0]["x-github-api-version"] == "2022-11-28"


def test_github_sees_failures_and_deployments(server: Server) -> None:
    tried = bad(actions=rolled_out("2").actions)
    server.answers = [(201, "{}"), (200, "[]"), (201, '{"id": 7}'), (201, "{}"), (201, "{}"), (200, '[{"id": 7}]')]
    teller = Teller(server, GITHUB | {"deployments": True}).told(
        (tried,), (bad(),), (good(version="2"),), (bad("shop"),)
    )

    deployments = "/T0/repos/you/fleet/deployments"
    asked_for = f"GET {deployments}?sha={COMMIT}&environment=hello&task=deploy&per_page=1"
    assert server.asked == [
        *(f"POST {STATUS}", asked_for, f"POST {deployments}", f"POST {deployments}/7/statuses"),
        *(f"POST {STATUS}", asked_for, f"POST {deployments}/7/statuses"),
        f"POST {STATUS}",  # nothing was rolled out there
    ]
    said = server.bodies
    assert said[0]["description"] == "quarantined on web1; 1 still runs"
    assert said[1] == {
        "ref": COMMIT,
        "task": "deploy",
        "environment": "hello",
        "description": "reconcile",
        "auto_merge": False,
        "required_contexts": [],
    }
    assert [(each["state"], each.get("context")) for each in (said[0], said[2], said[3], said[4], said[5])] == [
        ("failure", "reconcile/hello"),
        ("failure", None),
        ("success", "reconcile/hello"),
        ("success", None),
        ("failure", "reconcile/shop"),
    ]
    assert teller.said == []


def test_a_restart_does_not_take_success_back(server: Server, tmp_path: Path) -> None:
    """It has seen one of two hosts so far: no reason to call it pending again."""
    known = [("hello", "web1"), ("hello", "web2")]
    file = tmp_path / "told.json"
    asyncio.run(Teller(server, GITHUB, remember=file).passes(good(), good(host="web2"), known=known))

    asyncio.run(Teller(server, GITHUB, remember=file).passes(good(), known=known))

    assert [body["state"] for body in server.bodies] == ["success"]


def test_github_gets_statuses_only_for_commits(server: Server) -> None:
    teller = Teller(server, GITHUB)
    asyncio.run(teller.passes(bad(), revision=None))
    asyncio.run(teller.passes(bad(), revision="working tree"))

    assert server.asked == []
    assert teller.said == []


def test_github_gets_the_other_apps_when_it_refuses_one(server: Server) -> None:
    """As when one context of a commit has had its thousand statuses."""
    server.answers = [(422, "{}")]
    teller = Teller(server, GITHUB).told((good("a"), good("b")), *[(good("a"), good("b"))] * 3)

    assert [body["context"] for body in server.bodies] == ["reconcile/a", "reconcile/b", "reconcile/a"]
    assert teller.said == ["notify[0] (github): answered 422"]


def test_a_flapping_app_makes_few_statuses(server: Server) -> None:
    Teller(server, GITHUB).told(*[(bad(),), (good(),)] * 500)

    assert len(server.asked) <= 12
