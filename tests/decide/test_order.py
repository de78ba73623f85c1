"""Which rollout waits for which: the hosts of one app, apps after apps, and what is said about it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.batches import groups
from reconciler.decide.fleet import next_steps
from reconciler.decide.order import FleetStep, in_order
from reconciler.model.action import Blocked, Converged, InstallRelease, Migrate
from reconciler.model.desired import Desired, Fleet
from reconciler.model.fleet import Key, SeenFleet, Wait
from reconciler.model.observed import ObservedApp, ObservedHost
from reconciler.targets.traefik_app import traefik_app
from tests.decide.test_fleet import PLENTY, TRAEFIK_OF_OURS, app, blocked, desired_of, seen_of, serving, why


def test_without_hosts_there_is_nothing_to_change() -> None:
    assert groups([], ["1"]) == []


@pytest.mark.parametrize(("count", "batch", "size"), [(101, "1%", 2), (100, "1%", 1), (4, "26%", 2), (3, "9", 2)])
def test_a_share_of_the_hosts_is_rounded_up(count: int, batch: str, size: int) -> None:
    hosts = [f"h{i}" for i in range(count)]

    assert [len(group) for group in groups(hosts, [batch])][:2] == [1, size]


def test_an_upgrade_is_proven_on_the_first_host_like_a_first_rollout() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    old = {
        host: ObservedHost(host, PLENTY).with_app(
            "hello", serving(replace(desired.targets["hello", host], release="0-" + "b" * 12))
        )
        for host in "ab"
    }

    steps = next_steps(desired, SeenFleet(old))

    assert isinstance(steps["hello", "a"], InstallRelease)
    assert steps["hello", "b"] == Wait("b", "hello", "waits for host a: hello is not yet converged on a")


def test_a_host_waits_for_all_before_it_even_if_the_last_of_them_is_done() -> None:
    """Host b had the version already; a has not proven it."""
    desired = desired_of(app("hello", ["a", "b", "c"]))

    steps = next_steps(desired, seen_of(desired, {("hello", "b")}))

    assert isinstance(steps["hello", "b"], Converged)
    assert why(steps["hello", "c"]) == "waits for host a: hello is not yet converged on a"


def test_what_comes_first_counts_on_every_host_even_if_the_first_one_is_done() -> None:
    desired = desired_of(app("hello", ["a", "b"], after=["db"], ports=[4002, 4003]), app("db", ["a"]))

    steps = next_steps(desired, seen_of(desired, {("hello", "a")}))

    assert why(steps["hello", "b"]) == "comes after db: db is not yet converged on a"


def test_what_will_not_end_by_itself_is_said_rather_than_what_will() -> None:
    """To wait for the first would be in vain."""
    apps = app("hello", ["a"], after=["one", "two"]), app("one", ["a"], ports=[4002]), app("two", ["a"], ports=[4004])
    desired = desired_of(*apps)
    seen = seen_of(desired)

    waits = next_steps(desired, seen)["hello", "a"]
    stuck = next_steps(desired, replace(seen, failed={("two", "a"): blocked("a", "two")}))["hello", "a"]

    assert waits == Wait("a", "hello", "comes after one: one is not yet converged on a")
    assert stuck == Blocked("a", "hello", "comes after two: two is not converged on a", kind="waiting")


def test_a_failure_reaches_everything_that_comes_after_it_however_far() -> None:
    chain = [("one", "two"), ("two", "three"), ("three", "four")]
    apps = [app(name, ["a"], after=[other], ports=[4000 + 2 * i]) for i, (name, other) in enumerate(chain)]
    desired = desired_of(*apps, app("four", ["a"], ports=[4020]))
    seen = replace(seen_of(desired), failed={("four", "a"): blocked("a", "four")})

    steps = next_steps(desired, seen)

    assert [type(steps[name, "a"]) for name in ("one", "two", "three", "four")] == [Blocked] * 4


def test_where_traefik_may_not_be_rolled_out_its_apps_are_not_either() -> None:
    """It has failed on host a, so it does not go on to b."""
    routes = [app(name, ["a", "b"], ports=[port, port + 1], route={"domains": [f"{name}.example.com"]})
              for name, port in (("hello", 4002), ("zz", 4004))]  # fmt: skip
    proxy = traefik_app(Desired(Fleet(traefik=TRAEFIK_OF_OURS), tuple(routes), None, Path()))
    assert proxy is not None
    desired = desired_of(*routes, proxy)
    seen = seen_of(desired, {("hello", "a"), ("zz", "a")})
    failed = replace(seen, failed={("traefik", "a"): blocked("a", "traefik")})

    steps = next_steps(desired, failed)

    why = "traefik is not converged on b"
    assert [steps[name, "b"] for name in ("hello", "zz")] == [
        Blocked("b", name, why, kind="waiting") for name in ("hello", "zz")
    ]


def test_an_app_does_not_wait_for_one_that_is_on_no_host_of_this_run() -> None:
    """As with --app: only some are looked at."""
    desired = desired_of(app("hello", ["a"], after=["db"]))

    assert isinstance(next_steps(desired, seen_of(desired))["hello", "a"], InstallRelease)


def test_apps_that_come_after_each_other_wait_without_holding_up_the_engine() -> None:
    """Such a desired state is refused when it is loaded."""
    desired = desired_of(app("one", ["a"], after=["two"]), app("two", ["a"], after=["one"], ports=[4002]))

    steps = next_steps(desired, seen_of(desired))

    assert all(isinstance(step, Wait) for step in steps.values())


def test_the_time_of_a_decision_grows_with_the_hosts_and_no_faster() -> None:
    """Four times the hosts: four times the time, not sixteen."""

    def seconds_of(count: int) -> float:
        hosts = [f"h{n:04}" for n in range(count)]
        desired = desired_of(app("hello", hosts))
        done: dict[Key, FleetStep] = {("hello", host): Converged(host, "hello", "1.0.0", "4000") for host in hosts}
        taken = []
        for _ in range(3):
            begin = time.process_time()
            assert in_order(desired, SeenFleet(), done) == done
            taken.append(time.process_time() - begin)
        return min(taken)

    assert seconds_of(2000) < 9 * seconds_of(500)


def test_an_app_on_a_host_that_is_being_looked_at_says_just_that() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    seen = replace(seen_of(desired), looking=frozenset({"b"}), failed={("hello", "a"): blocked("a", "hello")})

    assert next_steps(desired, seen)["hello", "b"] == Wait("b", "hello", "the host is being looked at")


def test_an_app_that_cannot_be_worked_out_for_one_host_is_migrated_from_another() -> None:
    hello = app("hello", ["a", "b"], migrate="bin/migrate")
    whole = desired_of(hello)
    only_b = {key: target for key, target in whole.targets.items() if key[1] == "b"}
    desired = replace(whole, targets=only_b, refused={("hello", "a"): blocked("a", "hello", "secret")})
    release = only_b["hello", "b"].release or ""
    b = ObservedHost("b", PLENTY).with_app("hello", ObservedApp(releases=(release,)))

    steps = next_steps(desired, replace(seen_of(whole, b=b), begun=frozenset({("hello", "b")})))

    assert isinstance(steps["hello", "b"], Migrate)
