"""Several controllers share a fleet: each host is one's, and no order is broken between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.decide.fleet import next_steps
from reconciler.decide.order import FleetStep
from reconciler.decide.shards import keys_of_shard
from reconciler.model.action import Blocked, InstallRelease, StopInstance
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost
from reconciler.model.shard import Shard
from tests.decide.test_fleet import app, desired_of, seen_of, serving, why

FIRST, SECOND = Shard(1, 2), Shard(2, 2)
HOSTS = [f"h{number}" for number in range(1, 9)]
OURS = [host for host in HOSTS if FIRST.has(host)]
THEIRS = [host for host in HOSTS if SECOND.has(host)]


def part(shard: Shard, *apps: App, hosts: list[str] = HOSTS) -> DesiredFleet:
    """What the controller of this shard is told."""
    desired, keys = desired_of(*apps, hosts=tuple(hosts)), keys_of_shard(apps, shard)
    targets = {key: target for key, target in desired.targets.items() if key in keys}
    looked_at = {host for host in hosts if shard.has(host)} | {host for _, host in targets}
    elsewhere = frozenset(host for host in hosts if not shard.has(host))
    return replace(desired, targets=targets, hosts=tuple(sorted(looked_at)), elsewhere=elsewhere)


def steps_of(shard: Shard, converged: set[Key], *apps: App) -> dict[Key, FleetStep]:
    desired = part(shard, *apps)
    return next_steps(desired, seen_of(desired, converged & desired.targets.keys()))


def test_each_host_is_of_exactly_one_shard() -> None:
    shards = [Shard(number, 4) for number in range(1, 5)]
    names = [f"web{number}.example.com" for number in range(1000)]

    counts = [sum(shard.has(name) for name in names) for shard in shards]

    assert sum(counts) == 1000
    assert all(200 < count < 300 for count in counts)
    assert all(sum(shard.has(name) for shard in shards) == 1 for name in names)


def test_the_shard_of_a_host_never_changes() -> None:
    """Controllers of two versions of reconcile must agree."""
    assert [host for host in HOSTS if Shard(1, 2).has(host)] == ["h2", "h3", "h5", "h6", "h7", "h8"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "1/65", "-1/4", "1/4/2", "1 / 4", "", "a/b", "١/٤"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a part such as 1/4"):
        Shard.read(text)


def test_a_controller_changes_the_hosts_of_its_shard_only() -> None:
    apps = [
        app(f"app{number}", [host], ports=[4000 + 2 * number, 4001 + 2 * number]) for number, host in enumerate(HOSTS)
    ]

    mine, other = (steps_of(shard, set(), *apps) for shard in (FIRST, SECOND))

    assert {host for _, host in mine} == set(OURS)
    assert {host for _, host in other} == set(THEIRS)
    assert all(isinstance(step, InstallRelease) for step in [*mine.values(), *other.values()])


def test_the_first_host_proves_a_version_for_the_hosts_of_every_shard() -> None:
    hello = app("hello", [OURS[0], *THEIRS, *OURS[1:]])

    before = steps_of(SECOND, set(), hello)
    after = steps_of(SECOND, {("hello", OURS[0])}, hello)

    assert {why(step) for step in before.values()} >= {
        f"waits for host {OURS[0]}: hello is not yet converged on {OURS[0]}"
    }
    assert not any(isinstance(step, InstallRelease) for step in before.values())
    assert isinstance(after["hello", THEIRS[0]], InstallRelease)
    assert isinstance(after["hello", THEIRS[1]], Wait)


def test_a_version_that_failed_on_the_first_host_reaches_no_other_shard() -> None:
    hello = app("hello", [OURS[0], *THEIRS])
    desired = part(SECOND, hello)
    bad = {("hello", OURS[0]): Blocked(OURS[0], "hello", "bad", kind="quarantined")}

    steps = next_steps(desired, replace(seen_of(desired), failed=bad))

    assert all(isinstance(step, Blocked) for step in steps.values())
    assert set(steps) == {("hello", host) for host in THEIRS}


def test_an_app_comes_after_another_that_runs_on_hosts_of_another_shard() -> None:
    db = app("db", OURS[:2], ports=[4002, 4003])
    hello = app("hello", THEIRS[:1], after=["db"])

    half = steps_of(SECOND, {("db", OURS[0])}, db, hello)
    whole = steps_of(SECOND, {("db", OURS[0]), ("db", OURS[1])}, db, hello)

    assert why(half["hello", THEIRS[0]]) == f"comes after db: db is not yet converged on {OURS[1]}"
    assert isinstance(whole["hello", THEIRS[0]], InstallRelease)


def test_a_release_is_migrated_by_one_shard() -> None:
    hello = app("hello", [OURS[0], THEIRS[0]], migrate="bin/migrate")

    assert keys_of_shard([hello], SECOND) == {("hello", OURS[0]), ("hello", THEIRS[0])}


@pytest.mark.parametrize("rollout", [{"batch": ["1", "50%"]}, {"pause_seconds": 60}, {"max_failures": 2}])
def test_batches_that_are_written_down_hold_across_the_shards(rollout: dict[str, object]) -> None:
    """All hosts of the app are looked at, and the batches are made of all of them."""
    hello = app("hello", HOSTS, rollout=rollout)

    assert {host for _, host in keys_of_shard([hello], SECOND)} == {*HOSTS}


def test_a_simple_app_on_many_hosts_costs_one_more_look() -> None:
    hello = app("hello", HOSTS)

    assert {host for _, host in keys_of_shard([hello], SECOND)} == {HOSTS[0], *THEIRS}


def test_an_app_that_may_have_moved_to_another_shard_is_not_removed() -> None:
    """Its new place cannot be seen from here: what serves there might not be it."""
    hello = app("hello", OURS[:1])
    desired = part(SECOND, hello)
    look = ObservedHost(THEIRS[0], seen_of(desired).hosts[THEIRS[0]].facts)  # type: ignore[union-attr]
    there = serving(desired_of(app("hello", THEIRS[:1])).targets["hello", THEIRS[0]])
    seen = SeenFleet({**seen_of(desired).hosts, THEIRS[0]: look.with_app("hello", there)})

    steps = next_steps(desired, seen)

    step = steps["hello", THEIRS[0]]
    assert isinstance(step, Blocked)
    assert f"hello may have moved to {OURS[0]}, which is of another shard" in step.reason


def test_an_app_that_is_no_longer_desired_anywhere_is_removed() -> None:
    other = app("other", HOSTS, ports=[4002, 4003])
    desired = replace(part(SECOND, other), allow_prune=True)
    there = serving(desired_of(app("hello", THEIRS[:1])).targets["hello", THEIRS[0]])
    seen = seen_of(desired, {key for key in desired.targets})
    look = seen.host(THEIRS[0])
    assert look is not None

    steps = next_steps(desired, replace(seen, hosts={**seen.hosts, THEIRS[0]: look.with_app("hello", there)}))

    assert isinstance(steps["hello", THEIRS[0]], StopInstance)


def every_shard(count: int) -> Iterator[Shard]:
    return (Shard(number, count) for number in range(1, count + 1))


def test_together_the_shards_bring_a_fleet_to_rest_in_order() -> None:
    """Four controllers in turn, each with what it sees; the first host is proven before any other begins."""
    hello = app("hello", HOSTS, rollout={"batch": "100%"})
    converged, rounds = set[Key](), 0
    while len(converged) < len(HOSTS):
        steps = {key: step for shard in every_shard(4) for key, step in steps_of(shard, converged, hello).items()}
        begun = {key for key, step in steps.items() if isinstance(step, InstallRelease)}
        assert begun, "no controller goes on"
        assert converged or begun == {("hello", HOSTS[0])}
        converged |= begun
        rounds += 1
    assert rounds == 2
