"""notify/grafana.py against a server that speaks Grafana's API for annotations: one region per rollout."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.model.action import Blocked
from tests.support.receiver import APP_SECRET, GRAFANA, NOW, Server, Teller, bad, good, receiving, rolled_out


@pytest.fixture
def server() -> Iterator[Server]:
    with receiving() as told:
        yield told


def test_a_rollout_is_one_region_from_its_start_to_its_end(server: Server) -> None:
    """Over all hosts of the app: from the first action on the first host until the last one ended."""
    first = replace(rolled_out("2"), seconds=20.0, rested_seconds=15.0, before="1")
    second = replace(rolled_out("2", "web2"), seconds=10.0, rested_seconds=3.0, before="1")
    teller = Teller(server, GRAFANA).told((first, second, good("shop")), (good(version="2"),))

    assert teller.said == []
    assert server.asked == ["POST /T0/Hush-path-4/api/annotations"]
    assert server.headers[0]["authorization"] == "Bearer ghp_Hush-token-2"
    assert server.bodies == [
        {
            "time": int((NOW - 35) * 1000),
            "timeEnd": int((NOW - 3) * 1000),
            "tags": ["reconcile", "app:hello", "version:2", "host:web1", "host:web2", "converged"],
            "text": f"hello 1 → 2 on web1, web2 (commit {12 * 'a'})",
        }
    ]


def test_a_rollout_that_fails_says_so_without_a_word_of_the_app(server: Server) -> None:
    failed = bad(actions=rolled_out("2").actions, seconds=60.0, before="1")
    Teller(server, GRAFANA).told((failed,))

    assert server.bodies[0]["tags"] == ["reconcile", "app:hello", "host:web1", "failed"]
    assert server.bodies[0]["text"] == f"hello 1 on web1; failed: quarantined (commit {12 * 'a'})"
    assert APP_SECRET not in server.raw[0].decode()


def test_what_comes_from_outside_is_text_in_an_annotation(server: Server) -> None:
    Teller(server, GRAFANA).told((replace(rolled_out("2"), before="<script>"),))

    assert server.bodies[0]["text"].startswith("hello &lt;script&gt; → 2")


def test_a_repair_and_a_pause_are_no_rollouts(server: Server) -> None:
    paused = Blocked("web1", "hello", "suspended", kind="suspended")
    Teller(server, GRAFANA).told((good(),), (replace(rolled_out("2"), end=paused),))

    assert server.asked == []


def test_what_grafana_did_not_take_in_time_is_delivered_later(server: Server) -> None:
    teller = Teller(server, GRAFANA)
    server.answers = [(500, ""), (500, ""), (503, "")]

    async def passes() -> None:
        await teller.passes(rolled_out("2"))
        teller.now += 120
        await teller.passes(good(version="2"))
        await teller.passes(rolled_out("3"))

    asyncio.run(passes())

    assert teller.said == ["notify[0] (grafana): answered 503"]
    assert teller.slept == [1.0, 4.0]
    assert [body["tags"][2] for body in server.bodies] == ["version:2"] * 4 + ["version:3"]
    assert server.bodies[3]["time"] == int(NOW * 1000)


def test_what_grafana_refuses_is_not_sent_again(server: Server) -> None:
    server.answers = [(403, ""), (200, "{}")]
    teller = Teller(server, GRAFANA).told((rolled_out("2"),), (good(version="2"),), (good(version="2"),))

    assert teller.said == ["notify[0] (grafana): answered 403"]
    assert len(server.asked) == 1


def test_an_app_that_is_rolled_out_again_and_again_has_few_annotations(server: Server) -> None:
    Teller(server, GRAFANA).told(*[(rolled_out(str(version)),) for version in range(100)])

    assert 4 < len(server.asked) < 10
