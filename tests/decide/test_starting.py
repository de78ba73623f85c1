"""The start of the desired release: why, in which order, and what keeps it from starting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, InstallRelease, Migrate, RejectRelease, StartInstance, Step, StopInstance
from reconciler.model.identity import Identity
from reconciler.model.observed import HostFacts, ObservedApp, ObservedHost, RouteFile, Slot
from reconciler.model.target import Target
from tests.decide.test_rollout import APP, APPLIED, LIVE, ONE, R1, R2, TRIAL, TWO, V1, V2, WHERE
from tests.support.world import wanted

V3 = Identity("3-000000000000", "e1", "u1")
ONE_PORT = replace(TWO, slots=("4000",))
STOPPED = replace(LIVE, state="inactive", running=None)


def step_of(app: ObservedApp, target: Target = TWO, **host: Any) -> Step:
    return next_action(target, ObservedHost("a", apps={target.app: app}, **host))


def reason(app: ObservedApp, target: Target = TWO, **host: Any) -> str:
    """Why it is started. What is not in the question here is as it should be."""
    step = step_of(replace(app, releases=(R1, R2)), target, **host)
    assert isinstance(step, StartInstance)
    return step.reason


# Why.


@pytest.mark.parametrize(
    ("state", "running", "why", "drift"),
    [
        ("failed", None, "failed", "failed"),
        ("inactive", None, "not running", "stopped"),
        ("deactivating", V1, "was stopped", "stopped"),  # its process has not ended yet
    ],
)
def test_what_should_run_and_does_not_is_drift(state: Any, running: Identity | None, why: str, drift: Any) -> None:
    app = APP.with_slot(replace(LIVE, state=state, running=running))

    assert step_of(app, ONE) == StartInstance(*WHERE, why, "4000", V1, drift=drift)


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (LIVE, "version 1 → 2"),
        (replace(LIVE, prepared=V3), "version 1 → 2"),  # what runs counts, not what its files say
        (STOPPED, "version 1 → 2"),
        (replace(LIVE, prepared=None), "version 1 → 2"),
    ],
)
def test_a_rollout_names_the_version_that_it_replaces(live: Slot, why: str) -> None:
    assert reason(APP.with_slot(live)) == why


STOP_FIRST = "version 1 → 2; stop-first, only one slot: no service until it is healthy"
CANDIDATE = replace(LIVE, prepared=V2, running=V2, on_trial=True, previous=V1)


@pytest.mark.parametrize(
    ("slot", "target", "why"),
    [
        (LIVE, ONE_PORT, STOP_FIRST),
        (STOPPED, ONE_PORT, STOP_FIRST),
        (replace(LIVE, prepared=None), ONE_PORT, STOP_FIRST),
        (Slot("4000", enabled=True), ONE_PORT, "first start"),  # there is nothing in it to stop
        (STOPPED, replace(ONE, slots=("4000",)), "not running"),
        (
            replace(CANDIDATE, state="failed", running=None), ONE_PORT,
            "failed; stop-first, only one slot: no service until it is healthy",
        ),
        (
            CANDIDATE, wanted("3"),
            "version 2 → 3; stop-first, as this rollout began: no service until it is healthy",
        ),
    ],
)  # fmt: skip
def test_a_start_in_the_place_of_what_serves_says_that_visitors_will_notice(
    slot: Slot, target: Target, why: str
) -> None:
    app = replace(APP, slots=(slot,), releases=(R1, R2, V3.release))

    step = step_of(app, target)

    assert isinstance(step, StartInstance)
    assert step.reason == why


def test_a_start_beside_what_serves_costs_nothing_whatever_was_prepared_there() -> None:
    assert reason(APP.with_slot(Slot("4001", V3))) == "version 1 → 2"


# In which order.


def test_a_whole_copy_of_a_damaged_release_is_installed_even_while_it_runs() -> None:
    """Not before a rollout that replaces it, but before anything is started from it."""
    install = InstallRelease(*WHERE, "its files were changed on the host", R1, replaces_damaged=True, drift="release")

    assert step_of(replace(APP, damaged=(R1,)), ONE) == install
    assert step_of(replace(APP.with_slot(STOPPED), damaged=(R1,)), ONE) == install


@pytest.mark.parametrize(
    ("variables", "when"),
    [((), "once per release"), (("DATABASE_URL", "SHARD"), "once per release and value of DATABASE_URL, SHARD")],
)
def test_a_migration_says_what_it_is_done_once_for(variables: tuple[str, ...], when: str) -> None:
    target = replace(TWO, migrates=True, migrate_when=variables)

    step = step_of(replace(APP, releases=(R1, R2)), target)

    assert step == Migrate(*WHERE, f"{when}, before it starts", V2)


def test_a_candidate_that_could_not_be_started_is_not_started_again() -> None:
    dead = replace(TRIAL, state="failed", running=None, failure="it exited 2 times")

    assert isinstance(step_of(APP.with_slot(dead)), RejectRelease)


def test_a_leftover_that_is_not_in_the_way_keeps_running_until_the_rollout_is_done() -> None:
    """It may be what visitors reached by a former port; there is room for all."""
    former = replace(LIVE, name="5000", enabled=False)

    assert reason(APP.with_slot(former)) == "version 1 → 2"


# What keeps it from starting.


@pytest.mark.parametrize(
    ("proxy", "way"),
    [
        (False, "stop that program or give the app other ports"),
        (True, "stop that program (it may be another Traefik), or choose another api_port in fleet.yaml"),
    ],
)
def test_a_program_on_the_port_has_to_go_first(proxy: bool, way: str) -> None:
    app = ObservedApp((Slot("4000", stranger="nginx (pid 7)"),), releases=(R2,))
    target = replace(TWO, proxy=proxy, route=None)

    assert step_of(app, target) == Blocked(
        *WHERE, "port 4000 is taken by nginx (pid 7)", way, retryable=True, kind="port_taken"
    )


def test_a_traefik_set_up_by_hand_gives_way_with_its_ports() -> None:
    app = ObservedApp((Slot("4000", stranger="traefik (pid 7)"),), unit="u1", by_hand="traefik.service")

    assert "takes over from traefik.service" in reason(app, replace(TWO, proxy=True, route=None))


def test_what_serves_is_started_again_whatever_traefik_lacks() -> None:
    """Its route is there already."""
    assert ONE.route
    target = replace(ONE, route=replace(ONE.route, entry_points=("pg",)))

    assert reason(APP.with_slot(STOPPED), target, entry_points=("web",)) == "not running"


def test_without_memory_for_a_second_copy_it_cannot_move_to_other_ports() -> None:
    """It cannot stop first either: the port that visitors reach is not among its own any more."""
    big = replace(LIVE, memory_kib=102_400)
    moved = wanted("2", slots=("5000", "5001"))
    facts = HostFacts(memory_available_kib=50 * 1024)

    assert step_of(replace(APP, slots=(big,)), moved, facts=facts) == Blocked(
        *WHERE,
        "a second copy needs about 120 MiB of memory and 50 MiB are available",
        "free memory, or keep one of the former ports",
        "1",
        kind="memory",
    )


def test_without_memory_what_is_left_of_another_rollout_is_stopped_first() -> None:
    big = replace(LIVE, memory_kib=102_400)
    leftover = replace(TRIAL, prepared=V3, running=V3)
    app = replace(APP, slots=(big, leftover), route=RouteFile("4000", "route-4000", True), applied=APPLIED)

    step = step_of(app, facts=HostFacts(memory_available_kib=50 * 1024))

    assert step == StopInstance(*WHERE, "left over from another rollout", "4001", drift="second_slot")
