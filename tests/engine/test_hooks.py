"""The hooks of an app on several hosts: the real engine over model hosts."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.engine.converge import converge
from reconciler.model.action import Blocked, Converged, RunHook
from reconciler.model.desired import App
from reconciler.model.observed import Unreachable
from tests.decide.test_fleet import app
from tests.support.stepping import QUIET, WHO, Stepping, ends, opened, stepping

__all__ = ["stepping"]
AWAY = Unreachable("a", "no route to host")


def hello(version: str = "1", hosts: str = "abc", **more: object) -> App:
    keys = {"rollout": {"batch": "2"}, "after_rollout": "bin/warm", **more}
    return app("hello", list(hosts), version=version, **keys)


def run_pass(stepping: Stepping, wanted: App) -> list[str]:
    """Run a pass over these hosts; return where hooks ran."""
    stepping.done.clear()
    outcomes = asyncio.run(converge(opened(wanted), QUIET, WHO))
    reached = {host for host in wanted.hosts if not isinstance(stepping.hosts[host], Unreachable)}
    assert {each.end.host for each in outcomes if isinstance(each.end, Converged)} == reached, ends(outcomes)
    return [action.host for action in stepping.done if isinstance(action, RunHook)]


def test_after_rollout_runs_on_one_host_after_all_of_them(stepping: Stepping) -> None:
    ran = run_pass(stepping, hello())

    assert ran == ["a"]
    assert isinstance(stepping.done[-1], RunHook)
    assert run_pass(stepping, hello()) == []


def test_after_rollout_can_run_on_each_host(stepping: Stepping) -> None:
    ran = run_pass(stepping, hello(after_rollout={"run": "bin/warm", "each_host": True}))

    assert sorted(ran) == ["a", "b", "c"]
    assert all(isinstance(action, RunHook) for action in stepping.done[-3:])


def test_every_rollout_has_its_own_run_also_one_to_an_older_version(stepping: Stepping) -> None:
    assert [run_pass(stepping, hello(version)) for version in ("1", "2", "1")] == [["a"]] * 3


@pytest.mark.parametrize("hosts", ["a", "abc"])
def test_a_hook_that_is_added_does_not_run_for_what_runs_already(stepping: Stepping, hosts: str) -> None:
    run_pass(stepping, hello(hosts=hosts, after_rollout=None))

    assert run_pass(stepping, hello(hosts=hosts)) == []


def test_a_host_that_dies_or_comes_back_makes_no_hook_run_again(stepping: Stepping) -> None:
    assert run_pass(stepping, hello()) == ["a"]
    a, stepping.hosts["a"] = stepping.hosts["a"], AWAY
    assert run_pass(stepping, hello()) == []
    assert run_pass(stepping, hello("2")) == ["b"]
    stepping.hosts["a"] = a

    assert run_pass(stepping, hello("2")) == []
    assert stepping.done != []


def test_a_version_that_is_stuck_on_one_host_keeps_the_hook_due(stepping: Stepping) -> None:
    """The host that has to run it is converged all the same."""
    run_pass(stepping, hello(hosts="a"))
    stepping.done.clear()
    stepping.fails = lambda action: RuntimeError("disk full") if action.host == "b" else None
    outcomes = asyncio.run(converge(opened(hello("2", hosts="ab")), QUIET, WHO))

    assert [type(each.end) for each in outcomes] == [Converged, Blocked]
    assert "hook" not in [action.verb for action in stepping.done]

    stepping.fails = lambda action: None
    assert run_pass(stepping, hello("2", hosts="ab")) == ["a"]
