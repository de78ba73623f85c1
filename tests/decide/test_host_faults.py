"""A candidate that fails because of its host is tried again; a release that fails is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.host_faults import keep_host_fault
from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, RejectRelease, StartInstance, Step, StopInstance
from reconciler.model.observed import HostFacts, ObservedHost, Slot
from tests.decide.test_rollout import APP, ONE, TWO

CANDIDATE = Slot(
    "4001", prepared=TWO.identity("2-000000000000"), on_trial=True, state="failed", failure="its unit failed"
)


def step_of(slot: Slot) -> Step:
    """The step of a rollout whose candidate is this slot."""
    seen = ObservedHost("a", HostFacts(memory_available_kib=4_000_000), apps={"hello": APP.with_slot(slot)})
    return next_action(TWO, seen)


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
    """It is stopped, the version is not rejected, and the next look tries again."""
    failed = replace(CANDIDATE, **slot)
    stopped = keep_host_fault(failed, Slot("4001"))

    assert isinstance(step_of(failed), StopInstance)
    step = step_of(stopped)
    assert isinstance(step, Blocked)
    assert (step.kind, step.retryable, step.reason, step.serving) == ("host", True, reason, "1")
    assert step.next_step
    assert isinstance(step_of(Slot("4001")), StartInstance)


@pytest.mark.parametrize("last_exit", ["exit-code, status 1", "exit-code, status 203", "signal, status 9", ""])
def test_a_release_that_fails_is_rejected(last_exit: str) -> None:
    assert isinstance(step_of(replace(CANDIDATE, last_exit=last_exit)), RejectRelease)


def test_an_instance_that_was_replaced_comes_back_before_all_else() -> None:
    candidate = replace(CANDIDATE, previous=ONE.identity("1-0"), last_exit="exit-code, status 226")

    assert isinstance(step_of(candidate), RejectRelease)
