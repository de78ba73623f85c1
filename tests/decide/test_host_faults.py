"""A candidate that fails because of its host is tried again; a release that fails is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.host_faults import host_fault, keep_host_fault
from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, Converged, RejectRelease, StartInstance, Step, StopInstance
from reconciler.model.observed import HostFacts, ObservedApp, ObservedHost, Slot
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
    stopped = keep_host_fault(failed, Slot("4001"), ObservedApp(), HostFacts())

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


NESTING = "if the host is a container, turn on nesting for it"
SPACE = "look at the disk, the mounts and the permissions there; journalctl on the host has systemd's words"


@pytest.mark.parametrize(
    ("status", "step", "next_step"),
    [
        (
            217,
            "USER",
            f"{NESTING}; a host that refuses user namespaces can do without: sandbox: {{shared_users: true}}",
        ),
        (219, "CGROUP", SPACE),
        (225, "NETWORK", NESTING),
        (226, "NAMESPACE", f"{NESTING}; sandbox: {{shared_users: true}} needs fewer namespaces"),
        (228, "SECCOMP", "the kernel lacks seccomp; install the distribution's own kernel"),
        (233, "RUNTIME_DIRECTORY", SPACE),
        (238, "STATE_DIRECTORY", SPACE),
        (239, "CACHE_DIRECTORY", SPACE),
        (240, "LOGS_DIRECTORY", SPACE),
        (243, "CREDENTIALS", NESTING),
    ],
)
def test_each_step_that_systemd_could_not_take_has_a_name_and_a_remedy(status: int, step: str, next_step: str) -> None:
    reason = f"systemd cannot start an instance on this host (status {status}, {step})"

    assert host_fault(Slot("4001", last_exit=f"exit-code, status {status}"), ObservedApp(), HostFacts()) == (
        reason,
        next_step,
    )


@pytest.mark.parametrize(
    ("changes", "is_fault"),
    [
        ({"open_connections": 1}, True),
        ({"open_connections": 1, "listening": True}, False),  # it has its port
        ({"open_connections": 1, "stranger": "nginx"}, False),  # that is said already, with the program's name
        ({}, False),
    ],
)
def test_a_port_in_use_by_an_outgoing_connection_is_the_host_s_fault(changes: dict[str, Any], is_fault: bool) -> None:
    expected = (
        "port 4001 is in use by an outgoing connection of another program on this host",
        "choose ports below net.ipv4.ip_local_port_range (32768), or reserve them (ip_local_reserved_ports)",
    )

    assert host_fault(Slot("4001", **changes), ObservedApp(), HostFacts()) == (expected if is_fault else None)


STATUS = "exit-code, status 226"


def test_what_was_seen_of_the_candidate_is_kept_until_the_next_look_and_shown() -> None:
    failed = replace(CANDIDATE, last_exit=STATUS, log_tail=("no namespace",), open_connections=2)
    stopped = keep_host_fault(failed, Slot("4001"), ObservedApp(), HostFacts())
    reason, next_step = host_fault(failed, ObservedApp(), HostFacts()) or ("", "")

    assert stopped == Slot(
        "4001", last_exit=STATUS, open_connections=2, failure="its unit failed", log_tail=("no namespace",)
    )
    assert step_of(failed) == StopInstance("a", "hello", reason, "4001")
    assert step_of(stopped) == Blocked(
        "a", "hello", reason, next_step, "1", ("no namespace",), retryable=True, kind="host"
    )


@pytest.mark.parametrize("changes", [{"failure": None}, {"last_exit": "exit-code, status 1"}])
def test_nothing_is_kept_of_a_candidate_that_failed_by_itself(changes: dict[str, Any]) -> None:
    failed = replace(CANDIDATE, last_exit=STATUS)

    assert keep_host_fault(replace(failed, **changes), Slot("4001"), ObservedApp(), HostFacts()) == Slot("4001")


def test_a_slot_that_ended_so_at_some_time_is_no_reason_to_wait() -> None:
    """Only what was just watched counts."""
    assert isinstance(step_of(Slot("4001", last_exit=STATUS)), StartInstance)


def test_what_has_served_is_not_stopped_for_a_fault_of_its_host() -> None:
    """Visitors are sent to it; it comes back when the host is well again."""
    down = replace(APP.slots[0], state="failed", running=None, healthy=None, failure="it failed", last_exit=STATUS)

    end = next_action(ONE, ObservedHost("a", apps={"hello": APP.with_slot(down)}))

    assert isinstance(end, Blocked)
    assert (end.kind, end.retryable) == ("unhealthy", True)


NOEXEC = HostFacts(memory_available_kib=4_000_000, noexec="/srv")


def test_where_no_program_of_a_release_can_be_run_nothing_is_begun() -> None:
    """Neither an upload nor a migration; the version is not rejected, and is tried again."""
    target = replace(TWO, runs_own_program=True, migrates=True)
    step = next_action(target, ObservedHost("a", NOEXEC, apps={"hello": APP}))

    assert isinstance(step, Blocked)
    assert (step.kind, step.retryable, step.serving) == ("host", True, "1")
    assert step.reason == "/srv is mounted noexec on this host, so no program of a release can be run there"
    assert "remount,exec /srv" in str(step.next_step)


def test_a_program_of_the_host_may_read_a_release_from_there() -> None:
    """`start: /usr/bin/python3 app.py` needs nothing executable there. If it fails, the release is not to blame."""
    seen = ObservedHost("a", NOEXEC, apps={"hello": APP})
    failed = replace(CANDIDATE, last_exit="exit-code, status 126")

    assert not isinstance(next_action(TWO, seen), Blocked)
    assert isinstance(next_action(TWO, seen.with_app("hello", APP.with_slot(failed))), StopInstance)
    healthy = replace(seen, facts=replace(NOEXEC, noexec=None))
    assert isinstance(next_action(TWO, healthy.with_app("hello", APP.with_slot(failed))), RejectRelease)


def test_what_runs_there_already_is_left_to_run_and_noted() -> None:
    step = next_action(replace(ONE, runs_own_program=True), ObservedHost("a", NOEXEC, apps={"hello": APP}))

    assert isinstance(step, Converged)
    assert "could not be started again" in str(step.note)
