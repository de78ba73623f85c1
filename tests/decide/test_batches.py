"""A version goes from batch to batch: how large they are, how long each runs first, and when it goes no further."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.batches import groups
from reconciler.decide.fleet import failures, next_steps
from reconciler.decide.plan import plan_fleet
from reconciler.engine.report import plan_text
from reconciler.model.action import Blocked, Converged, InstallRelease
from reconciler.model.app import App
from reconciler.model.fleet import DesiredFleet, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Quarantine
from tests.decide.test_fleet import app, blocked, desired_of, seen_of

HOSTS = list("abcdefgh")
NOW = 1_800_000_000


def fleet(**rollout: object) -> DesiredFleet:
    return desired_of(app("hello", HOSTS, rollout=rollout))


def done(desired: DesiredFleet, hosts: str, *, failed: str = "", minutes_ago: float = 60) -> SeenFleet:
    """The version runs on some hosts since so many minutes, and was rejected on others."""
    seen = seen_of(desired, {("hello", host) for host in hosts})
    looks = dict(seen.hosts)
    for host in hosts:
        since = "Thu 2027-01-14 08:00:00 UTC"
        look = _at(looks[host], NOW + 60 * minutes_ago)
        hello = look.app("hello")
        looks[host] = look.with_app("hello", replace(hello, slots=(replace(hello.slots[0], since=since),)))
    for host in failed:
        target = desired.targets["hello", host]
        quarantine = Quarantine(target.identity(target.release or ""), "it exited", NOW, target.attempt)
        look = _at(looks[host], NOW)
        looks[host] = look.with_app("hello", replace(look.app("hello"), quarantined=(quarantine,)))
    return replace(seen, hosts=looks)


def _at(look: object, now: float) -> ObservedHost:
    assert isinstance(look, ObservedHost)
    base = 1_799_913_600  # 2027-01-14 08:00:00 UTC
    return replace(look, facts=replace(look.facts, now_epoch_seconds=int(base + now - NOW)))


def begins(desired: DesiredFleet, seen: SeenFleet) -> str:
    """The hosts on which the rollout may begin now."""
    steps = next_steps(desired, seen)
    return "".join(host for (_, host), step in steps.items() if isinstance(step, InstallRelease))


def reasons(desired: DesiredFleet, seen: SeenFleet) -> set[str]:
    return {step.reason for step in next_steps(desired, seen).values() if isinstance(step, Wait | Blocked)}


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [
        (["1", "25%", "50%", "100%"], [1, 2, 4, 1]),
        (["1", "2"], [1, 2, 2, 2, 1]),
        (["2", "4"], [1, 2, 4, 1]),
        (["1"], [1, 1, 1, 1, 1, 1, 1, 1]),
        (["1", "1", "100%"], [1, 1, 6]),
        (["100%"], [1, 7]),
    ],
)
def test_each_size_is_that_of_one_batch_and_the_last_that_of_the_rest(batch: list[str], sizes: list[int]) -> None:
    """The first host goes alone, whatever is written: it proves the version."""
    found = groups(HOSTS, batch)

    assert [len(group) for group in found] == sizes
    assert [host for group in found for host in group] == HOSTS


@given(st.integers(0, 300), st.lists(st.integers(1, 120).map(str) | st.integers(1, 100).map("{}%".format), min_size=1))
def test_every_host_is_in_one_batch(count: int, batch: list[str]) -> None:
    hosts = [f"web{number}" for number in range(count)]

    found = groups(hosts, batch)

    assert [host for group in found for host in group] == hosts
    assert all(found)
    assert not found or len(found[0]) == 1


def test_batch_follows_batch() -> None:
    desired = fleet(batch=["1", "25%", "50%"])

    order = [begins(desired, done(desired, hosts)) for hosts in ("", "a", "ab", "abc", "abcdefg")]

    assert order == ["a", "bc", "c", "defg", "h"]
    assert reasons(desired, done(desired, "a")) == {"waits for batch 2 of 4: hello is not yet converged on b"}


def test_a_batch_runs_for_a_while_before_the_next() -> None:
    """How long, is read from the hosts: another controller, or the same one after a restart, waits no longer for it."""
    desired = fleet(batch=["1", "2"], pause_seconds=300)

    young, old = done(desired, "a", minutes_ago=2), done(desired, "a", minutes_ago=5)

    assert begins(desired, young) == ""
    step = next_steps(desired, young)["hello", "b"]
    assert step == Wait(
        "b", "hello", "pause: every host of the batch before runs it for 300 s first", looks=(("a", 180.0),)
    )
    assert begins(desired, old) == "bc"


def test_the_youngest_of_a_batch_counts_and_no_batch_before_it() -> None:
    """That one host of the batch was restarted a moment ago is no proof that the batch runs."""
    desired = fleet(batch=["1", "2"], pause_seconds=300)
    seen = done(desired, "abc", minutes_ago=60)
    young = done(desired, "c", minutes_ago=1).hosts["c"]
    first = done(desired, "a", minutes_ago=1).hosts["a"]

    waits = next_steps(desired, replace(seen, hosts={**seen.hosts, "c": young}))

    assert next(step.looks for step in waits.values() if isinstance(step, Wait) and step.looks) == (("c", 240.0),)
    assert begins(desired, replace(seen, hosts={**seen.hosts, "a": first})) == "de"


def test_a_host_that_does_not_say_since_when_holds_up_nothing() -> None:
    """Its time is in a zone that we cannot read: to wait for ever would be worse than not to wait."""
    desired = fleet(pause_seconds=300)
    seen = done(desired, "a", minutes_ago=1)
    look = seen.host("a")
    assert look
    hello = look.app("hello")
    local = replace(hello, slots=(replace(hello.slots[0], since="Thu 2027-01-14 09:00:00 CET"),))

    assert begins(desired, seen.with_host(look.with_app("hello", local))) == "b"


def test_a_plan_tells_the_pauses_and_goes_on() -> None:
    desired = fleet(batch=["1", "2", "100%"], pause_seconds=300)

    plans = plan_fleet(desired, seen_of(desired))

    pause = "pause: every host of the batch before runs it for 300 s first"
    assert all(isinstance(plan.end, Converged) for plan in plans.values())
    assert {plan.host: plan.waits[-1:] for plan in plans.values()} == {
        "a": (),
        **{host: (pause,) for host in "bcdefgh"},
    }
    assert [reason for reason in plans["hello", "h"].waits if "batch" in reason] == [
        "waits for batch 1 of 3: hello is not yet converged on a",
        "waits for batch 2 of 3: hello is not yet converged on b",
        pause,
    ]


def test_a_version_may_fail_on_some_hosts() -> None:
    """Up to one less than max_failures. They keep the old version, and the next batch begins."""
    desired = fleet(batch=["1", "3", "100%"], max_failures=3)

    assert begins(desired, done(desired, "abd", failed="c")) == "efgh"
    assert begins(desired, done(desired, "ab", failed="cd")) == "efgh"
    assert begins(desired, done(desired, "a", failed="bcd")) == ""


def test_a_rollout_halts_when_it_failed_too_often() -> None:
    """Hosts of the same batch that have not begun stay on the old version too, and all say why."""
    desired = fleet(batch=["1", "100%"], max_failures=3)

    seen = done(desired, "ab", failed="cdg")

    why = "halted: hello failed on 3 hosts, and max_failures is 3: c, d, g"
    steps = next_steps(desired, seen)
    assert begins(desired, seen) == ""
    assert {host: steps["hello", host] for host in "efh"} == {
        host: Blocked(host, "hello", why, kind="waiting") for host in "efh"
    }
    assert isinstance(steps["hello", "a"], Converged)


def test_what_has_begun_goes_on_although_it_is_halted() -> None:
    desired = fleet(batch=["1", "100%"], max_failures=2)
    seen = replace(done(desired, "a", failed="bc"), begun=frozenset({("hello", "d")}))

    assert begins(desired, seen) == "d"


def test_where_the_first_host_fails_nothing_goes_on() -> None:
    """It proves the version for the others, however many failures are allowed."""
    desired = fleet(batch=["1", "100%"], max_failures=5)

    assert begins(desired, done(desired, "", failed="a")) == ""


def test_another_trouble_than_a_failed_version_still_stops_it() -> None:
    """A full disk says nothing about the version; it is fixed, and the rollout goes on."""
    desired = fleet(batch=["1", "2", "100%"], max_failures=5)
    seen = replace(done(desired, "ab"), failed={("hello", "c"): blocked("c", "hello")})

    assert begins(desired, seen) == ""


def test_the_next_version_begins_anew() -> None:
    desired = fleet(batch=["1", "100%"], max_failures=2)
    halted = done(desired, "a", failed="bc")
    fixed = desired_of(app("hello", HOSTS, version="2", rollout={"batch": ["1", "100%"], "max_failures": 2}))

    assert begins(fixed, halted) == "a"


@pytest.mark.parametrize(
    ("most", "failed", "expected"), [(1, "b", True), (2, "b", False), (2, "bc", True), (9, "a", True)]
)
def test_a_fleet_goes_back_only_when_the_rollout_is_halted(most: int, failed: str, expected: bool) -> None:
    """While it may go on to other hosts, those that have the version keep it."""
    hello: App = app("hello", HOSTS, rollout={"max_failures": most, "on_failure": "rollback"})
    ends = [
        blocked(host, "hello", "quarantined") if host in failed else Converged(host, "hello", "1", "4000")
        for host in HOSTS
    ]

    found = failures([hello], ends)

    assert bool(found) is expected
    assert all(each.others == tuple(host for host in HOSTS if host not in failed) for each in found)


@pytest.mark.parametrize(
    ("written", "batch"), [("25%", ("25%",)), (2, ("2",)), (["1", "10%"], ("1", "10%")), ([1], ("1",))]
)
def test_one_size_is_a_list_of_one(written: object, batch: tuple[str, ...]) -> None:
    written = [str(each) for each in written] if isinstance(written, list) else str(written)

    assert app("hello", ["a"], rollout={"batch": written}).rollout.batch == batch


def test_a_plan_for_many_hosts_tells_each_batch_once() -> None:
    """100 hosts are four batches, and a pause before each of the last three."""
    hosts = [f"web{number:03}" for number in range(1, 101)]
    desired = desired_of(app("hello", hosts, rollout={"batch": ["1", "10%", "50%"], "pause_seconds": 60}))

    lines = plan_text(list(plan_fleet(desired, seen_of(desired)).values())).splitlines()

    named = list(dict.fromkeys(line.partition("  ")[0] for line in lines))
    assert named == ["web001", "web002 … web011 (10)", "web012 … web061 (50)", "web062 … web100 (39)"]
    assert len(lines) < 50
    first = next(line for line in lines if line.startswith("web062"))
    assert first.endswith("waits for batch 1 of 4: hello is not yet converged on web001")


def test_hosts_with_plans_of_their_own_are_told_one_by_one() -> None:
    hosts = [f"web{number:03}" for number in range(1, 31)]
    desired = desired_of(app("hello", hosts, rollout={"batch": "100%"}))

    few = plan_text([plan for plan in plan_fleet(desired, seen_of(desired)).values() if plan.host < "web005"])
    many = plan_text(list(plan_fleet(desired, done(desired, "", failed="")).values()))

    assert {line.split()[0] for line in few.splitlines()} == {"web001", "web002", "web003", "web004"}
    assert "web002 … web030 (29)" in many
