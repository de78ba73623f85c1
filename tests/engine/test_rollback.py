"""What the policy `on_failure: rollback` rolls back after a pass."""

from __future__ import annotations

from reconciler.decide.fleet import Failure, failures
from reconciler.engine.rollback import keys_of
from reconciler.errors import Kind
from reconciler.model.action import Blocked, Converged
from tests.engine.test_order import app

ROLLBACK = {"rollout": {"on_failure": "rollback"}}


def good(host: str) -> Converged:
    return Converged(host, "hello", "2", "4001")


def bad(host: str, kind: Kind = "quarantined") -> Blocked:
    return Blocked(host, "hello", "version 2 failed here: it exited 2 times", kind=kind)


def test_hosts_that_have_the_version_go_back_when_it_failed_on_another() -> None:
    hello = app("hello", ["a", "b", "c"], **ROLLBACK)
    found = failures([hello], [good("a"), bad("b"), bad("c", "waiting")])

    assert found == [Failure(hello, "b", ("a",))]
    assert keys_of(found) == {("hello", "a")}
    assert found[0].reason == "rolled back, since it failed on host b"


def test_without_the_policy_a_failure_only_stops_the_rest() -> None:
    assert failures([app("hello", ["a", "b"])], [good("a"), bad("b")]) == []


def test_what_can_pass_by_itself_takes_nothing_back() -> None:
    """A dead host, a taken port: the version did not fail."""
    hello = app("hello", ["a", "b", "c"], **ROLLBACK)

    assert failures([hello], [good("a"), bad("b", "unreachable"), bad("c", "port_taken")]) == []


def test_where_it_has_reached_nobody_there_is_nothing_to_take_back() -> None:
    hello = app("hello", ["a", "b"], **ROLLBACK)

    assert failures([hello], [bad("a"), bad("b", "waiting")]) == []
