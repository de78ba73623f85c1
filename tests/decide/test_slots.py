"""Which slot serves, which one the next instance gets, which release is meant, and room for a second copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.serving import serving, serving_version
from reconciler.decide.slots import (
    carries,
    choose_slot,
    live_slot,
    memory_of_second_copy_kib,
    shortage,
    target_identity,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, HostFacts, ObservedApp, ObservedHost, RouteFile, Slot
from tests.support.world import wanted

R1, R2 = "1-000000000000", "2-000000000000"
V1, V2 = Identity(R1, "e1", "u1"), Identity(R2, "e1", "u1")
TWO = wanted("2")
ONE_PORT = wanted("2", slots=("4000",))
OLD = Slot("4000", V1, state="active", running=V1, enabled=True, memory_kib=1_000)
NEW = Slot("4001", V2, state="active", running=V2, enabled=True, memory_kib=1_000)
DOWN = {"state": "inactive", "running": None}


@pytest.mark.parametrize(
    ("app", "name"),
    [
        (ObservedApp((OLD, NEW), route=RouteFile("4000", "x", True), applied=AppliedRoute("4001", "x")), "4000"),
        (ObservedApp((OLD,), applied=AppliedRoute("4001", "x")), "4001"),
        (ObservedApp((OLD,), route=RouteFile("", "", False), applied=AppliedRoute("4001", "x")), "4001"),
        (ObservedApp((OLD,), route=RouteFile("", "", False), applied=AppliedRoute("", "x")), "4000"),
        (ObservedApp((OLD, NEW)), "4001"),  # both are enabled: the desired release was accepted last
        (ObservedApp((replace(NEW, running=V1), OLD)), "4000"),  # neither has it: in any order the same one
        (ObservedApp((replace(OLD, enabled=False),)), None),
    ],
)
def test_the_live_slot_is_the_routed_one_else_the_enabled_one(app: ObservedApp, name: str | None) -> None:
    live = live_slot(TWO, app)

    assert (live and live.name) == name


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (NEW, True),
        (replace(NEW, running=V1), False),  # its files say what the next start will run
        (replace(NEW, prepared=V1), True),
        (replace(NEW, state="inactive", running=None), True),
        (replace(NEW, state="failed", prepared=V1), False),  # what it ran is of no use any more
        (Slot("4001"), False),
    ],
)
def test_a_slot_carries_what_it_runs_or_would_run(slot: Slot, expected: bool) -> None:
    assert carries(slot, TWO, ObservedApp()) is expected


def test_an_empty_slot_does_not_carry_a_release_that_is_not_known() -> None:
    assert not carries(Slot("4001"), replace(TWO, release=None), ObservedApp())


@pytest.mark.parametrize(
    ("slots", "target", "live", "crowded", "name"),
    [
        ((OLD,), TWO, OLD, None, "4001"),
        ((NEW,), TWO, NEW, None, "4001"),
        ((OLD,), ONE_PORT, OLD, None, "4000"),
        ((OLD,), TWO, OLD, "no memory", "4000"),
        ((replace(OLD, previous=V2),), TWO, replace(OLD, previous=V2), None, "4000"),  # begun as stop-first
        ((OLD,), wanted("2", slots=("5000",)), OLD, None, "5000"),  # the ports have changed
        ((OLD,), wanted("2", slots=("5000", "5001")), OLD, "no memory", "5000"),
        ((), TWO, None, None, "4000"),
        ((replace(NEW, enabled=False),), TWO, None, None, "4001"),  # it is there already
        ((replace(NEW, port_lost=True),), TWO, replace(NEW, port_lost=True), None, "4000"),
        (
            (Slot("4000", stranger="nginx"), replace(NEW, port_lost=True)),
            TWO, replace(NEW, port_lost=True), None, "4001",  # no other port is free either
        ),
    ],
)  # fmt: skip
def test_the_next_instance_gets_the_slot_that_has_it_else_one_that_does_not_serve(
    slots: tuple[Slot, ...], target: object, live: Slot | None, crowded: str | None, name: str
) -> None:
    assert choose_slot(target, ObservedApp(slots), live, crowded).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("live", "kib"),
    [(OLD, 1_200), (replace(OLD, state="failed"), 0), (replace(OLD, running=None), 0), (None, 0)],
)
def test_a_second_copy_may_need_a_fifth_more_than_the_first_has_now(live: Slot | None, kib: int) -> None:
    assert memory_of_second_copy_kib(live) == kib


BIG = replace(OLD, memory_kib=102_400)
SHORT = "a second copy needs about 120 MiB of memory and 100 MiB are available"


@pytest.mark.parametrize(
    ("live", "others", "available_kib", "said"),
    [
        (BIG, (), 102_400, SHORT),
        (BIG, (), 122_879, SHORT.replace("100", "119")),
        (BIG, (), 122_880, None),
        (BIG, (NEW,), 0, None),  # it runs already
        (BIG, (NEW, Slot("4002")), 0, None),
        (BIG, (replace(NEW, state="inactive", running=None),), 102_400, SHORT),  # it is only prepared
        (replace(BIG, running=V2), (), 0, None),  # there is nothing to start
        (replace(BIG, state="failed", running=None), (), 0, None),  # nothing to start beside
        (None, (), 0, None),
    ],
)
def test_where_two_copies_do_not_fit_it_is_said_by_how_much(
    live: Slot | None, others: tuple[Slot, ...], available_kib: int, said: str | None
) -> None:
    app = ObservedApp((*((live,) if live else ()), *others))
    seen = ObservedHost("a", HostFacts(memory_available_kib=available_kib), apps={"hello": app})

    assert shortage(TWO, seen, live) == said


def test_memory_that_is_promised_to_others_is_not_available() -> None:
    seen = ObservedHost("a", HostFacts(memory_available_kib=1_000_000), apps={"hello": ObservedApp((BIG,))})

    assert shortage(TWO, seen, BIG) is None
    assert shortage(TWO, seen, BIG, 102_400) == SHORT
    assert shortage(TWO, seen, BIG, 0) == SHORT.replace("100", "0")


@pytest.mark.parametrize("live", [None, replace(BIG, state="failed", running=None)])
def test_what_has_nothing_beside_it_starts_although_more_memory_is_promised_than_there_is(live: Slot | None) -> None:
    app = ObservedApp((live,) if live else ())
    seen = ObservedHost("a", apps={"hello": app})

    assert shortage(TWO, seen, live, -1) is None


UNKNOWN = replace(TWO, release=None)


@pytest.mark.parametrize(
    ("app", "release"),
    [
        (ObservedApp(), None),
        (ObservedApp(releases=(R1,)), None),
        (ObservedApp((OLD, Slot("4001")), releases=(R1,)), None),
        (ObservedApp(releases=("2-a", "2-b", R1)), "2-b"),  # the one that served last
        (ObservedApp((Slot("4000"), replace(NEW, running=Identity("2-a", "e", "u"))), releases=("2-a", "2-b")), "2-a"),
    ],
    ids=["nothing", "another version", "another one runs", "two of that version", "one of them runs"],
)
def test_without_its_artifact_a_version_is_the_release_of_it_that_is_on_the_host(
    app: ObservedApp, release: str | None
) -> None:
    found = target_identity(UNKNOWN, app)

    assert (found and found.release) == release
    assert target_identity(TWO, app) == V2


@pytest.mark.parametrize(
    ("slot", "version"),
    [
        (OLD, "1"),
        (replace(OLD, state="activating"), None),  # it keeps crashing
        (replace(OLD, running=None), None),  # it cannot be said what it is
    ],
)
def test_what_serves_is_active_and_known(slot: Slot, version: str | None) -> None:
    app = ObservedApp((slot,))

    assert serving(TWO, app) == (slot if version else None)
    assert serving_version(TWO, ObservedHost("a", apps={"hello": app})) == version
