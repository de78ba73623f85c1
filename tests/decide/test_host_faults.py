"""A candidate that fails because of its host is tried again; a release that fails is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, RejectRelease, Step
from reconciler.model.observed import HostFacts, Identity, ObservedHost, Slot
from tests.decide.test_rollout import APP, ONE, TWO


def given_up(target: Any = TWO, previous: Identity | None = None, **slot: Any) -> Step:
    """The step after a wait for a candidate that failed."""
    identity = target.identity(target.release)
    candidate = Slot("4001", prepared=identity, on_trial=True, state="failed", failure="its unit failed", **slot)
    app = APP.with_slot(replace(candidate, previous=previous))
    return next_action(target, ObservedHost("a", HostFacts(memory_available_kib=4_000_000), apps={"hello": app}))


@pytest.mark.parametrize(
    ("slot", "reason"),
    [
        (
            {"last_exit": "exit-code, status 226"},
            "systemd cannot start an instance on this host (status 226, NAMESPACE)",
        ),
        (
            {"last_exit": "exit-code, status 243"},
            "systemd cannot start an instance on this host (status 243, CREDENTIALS)",
        ),
        (
            {"last_exit": "exit-code, status 1", "open_connections": 1},
            "port 4001 is in use by an outgoing connection of another program on this host",
        ),
    ],
)
def test_a_fault_of_the_host_is_not_the_release(slot: dict[str, Any], reason: str) -> None:
    step = given_up(**slot)

    assert isinstance(step, Blocked)
    assert (step.kind, step.retryable, step.reason, step.serving) == ("host", True, reason, "1")
    assert step.next_step


@pytest.mark.parametrize("last_exit", ["exit-code, status 1", "exit-code, status 203", "signal, status 9", ""])
def test_a_release_that_fails_is_rejected(last_exit: str) -> None:
    assert isinstance(given_up(last_exit=last_exit), RejectRelease)


def test_an_instance_that_was_replaced_comes_back_before_all_else() -> None:
    assert isinstance(given_up(previous=ONE.identity("1-0"), last_exit="exit-code, status 226"), RejectRelease)
