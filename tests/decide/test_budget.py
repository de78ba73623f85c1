"""Places on a host: who holds one, who asks for one, and what is said to those that wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.budget import places
from reconciler.decide.fleet import next_steps
from reconciler.model.action import AnyAction, Blocked, Migrate, StartAgain, StartInstance, WaitHealthy
from reconciler.model.fleet import DesiredFleet, SeenFleet, Wait
from reconciler.model.observed import HostFacts, ObservedHost, Slot, Unreachable
from tests.decide.test_fleet import PLENTY, app, desired_of, installed, many, serving, starts


def one_place(*, migrate: bool = False) -> tuple[DesiredFleet, ObservedHost]:
    """Two apps to be rolled out on a host that takes one at a time."""
    more = {"migrate": "bin/migrate"} if migrate else {}
    apps = [app(f"app{i}", ["a"], ports=[4000 + 2 * i, 4001 + 2 * i], **more) for i in range(2)]
    desired = desired_of(*apps, rollouts_at_once={"a": 1})
    return desired, installed(desired, ObservedHost("a", PLENTY))


def test_a_host_that_does_not_tell_its_cores_starts_one_app_at_a_time() -> None:
    desired, _ = one_place()

    assert places("b", desired, ObservedHost("b", HostFacts(cores=0))) == 1


def test_who_waits_for_a_place_is_told_who_has_them_all() -> None:
    desired = desired_of(*many(3), rollouts_at_once={"a": 2})
    look = installed(desired, ObservedHost("a", PLENTY))

    steps = next_steps(desired, SeenFleet({"a": look}))

    why = "waits until fewer apps are starting on a (app0, app1)"
    assert steps["app2", "a"] == Wait("a", "app2", why, for_place=True)


def test_a_start_under_way_does_not_wait_for_the_place_that_it_holds() -> None:
    desired, look = one_place()
    start = next_steps(desired, SeenFleet({"a": look}))["app0", "a"]
    assert isinstance(start, StartInstance)

    steps = next_steps(desired, SeenFleet({"a": look}, under_way={("app0", "a"): start}))

    assert steps["app0", "a"] is start
    assert isinstance(steps["app1", "a"], Wait)


def test_a_migration_asks_for_a_place_and_holds_it() -> None:
    desired, look = one_place(migrate=True)
    before = next_steps(desired, SeenFleet({"a": look}))
    migration = before["app0", "a"]
    assert isinstance(migration, Migrate)

    steps = next_steps(desired, SeenFleet({"a": look}, under_way={("app0", "a"): migration}))

    assert isinstance(before["app1", "a"], Wait)
    assert isinstance(steps["app1", "a"], Wait)


def test_the_return_to_the_former_version_holds_a_place() -> None:
    desired, look = one_place()
    again: AnyAction = StartAgain("a", "app0", "0 served before", "4000")

    steps = next_steps(desired, SeenFleet({"a": look}, under_way={("app0", "a"): again}))

    assert isinstance(steps["app1", "a"], Wait)


@pytest.mark.parametrize(
    ("enabled", "on_trial", "holds"),
    [
        (False, True, True),  # a candidate beside what serves
        (True, True, True),  # a candidate in the slot of what served
        (False, False, True),  # a first start
        (True, False, False),  # it has served, and is only asked again: visitors are waiting
    ],
)
def test_of_the_instances_that_are_waited_for_those_not_accepted_hold_a_place(
    enabled: bool, on_trial: bool, holds: bool
) -> None:
    desired, look = one_place()
    own = look.app("app0")
    look = look.with_app("app0", own.with_slot(replace(own.slots[0], enabled=enabled, on_trial=on_trial)))
    waiting: AnyAction = WaitHealthy("a", "app0", "healthy for 2 s", "4000")

    steps = next_steps(desired, SeenFleet({"a": look}, under_way={("app0", "a"): waiting}))

    assert isinstance(steps["app1", "a"], Wait) is holds


def test_what_is_waited_for_on_a_host_that_was_lost_meanwhile_is_waited_for_all_the_same() -> None:
    desired, _ = one_place()
    waiting: AnyAction = WaitHealthy("a", "app0", "healthy for 2 s", "4000")
    lost = Unreachable("a", "no answer in time")

    steps = next_steps(desired, SeenFleet({"a": lost}, under_way={("app0", "a"): waiting}))

    assert steps["app0", "a"] is waiting
    assert isinstance(steps["app1", "a"], Blocked)


def test_an_app_of_one_slot_needs_no_memory_for_a_second_copy() -> None:
    """It stops first, so it does not wait until those that start beside themselves are done."""
    desired = desired_of(app("big", ["a"]), app("small", ["a"], ports=[4002]), rollouts_at_once={"a": 2})
    facts = HostFacts(memory_available_kib=400 * 1024, cores=2)
    look = installed(desired, ObservedHost("a", facts), memory_kib=300 * 1024)

    assert starts(next_steps(desired, SeenFleet({"a": look}))) == ["big", "small"]


def test_an_app_that_runs_nothing_yet_promises_no_memory() -> None:
    """A first start has no copy to measure, so the next app does not wait for it."""
    desired = desired_of(app("new", ["a"]), app("old", ["a"], ports=[4002, 4003]), rollouts_at_once={"a": 2})
    facts = HostFacts(memory_available_kib=400 * 1024, cores=2)
    look = installed(desired, ObservedHost("a", facts), memory_kib=300 * 1024)
    fresh = replace(serving(desired.targets["new", "a"]), slots=(Slot("4000"),), route=None, applied=None)
    look = look.with_app("new", fresh)

    assert starts(next_steps(desired, SeenFleet({"a": look}))) == ["new", "old"]
