"""A plan without hosts begins with an app as its first rollout leaves it: nothing is left to do, whatever it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.converged_app import converged_app
from reconciler.decide.next_action import next_action
from reconciler.model.action import Converged
from reconciler.model.desired import App
from reconciler.model.observed import AppliedRoute, ObservedHost, RouteFile
from tests.decide.test_fleet import PLENTY, app, desired_of

ROUTE = {"domains": ["shop.example.com"]}
APPS = {
    "two ports": app("shop", ["a"], route=ROUTE),
    "one port": app("shop", ["a"], ports=[4000], route=ROUTE),
    "a worker": app("shop", ["a"], ports=[], health=None),
    "a migration": app("shop", ["a"], migrate="bin/migrate"),
    "jobs": app("shop", ["a"], jobs={"nightly": {"run": "bin/x", "at": "03:00 UTC"}, "reindex": {"run": "bin/y"}}),
    "a hook": app("shop", ["a"], after_rollout="bin/warm"),
}


@pytest.mark.parametrize("wanted", APPS.values(), ids=APPS)
def test_nothing_is_left_to_do(wanted: App) -> None:
    desired = desired_of(wanted)
    target = desired.targets["shop", "a"]
    seen = ObservedHost("a", PLENTY).with_app("shop", converged_app(target, desired.owner))

    assert isinstance(next_action(target, seen), Converged)


def test_it_runs_in_its_first_slot_and_has_what_a_rollout_leaves() -> None:
    target = desired_of(app("shop", ["a"], route=ROUTE, migrate="bin/migrate", after_rollout="bin/warm")).targets[
        "shop", "a"
    ]

    made = converged_app(target, "ours")

    (slot,) = made.slots
    assert (slot.name, slot.state, slot.enabled, slot.listening, slot.healthy, slot.health) == (
        target.slots[0], "active", True, True, True, "200",
    )  # fmt: skip
    assert slot.prepared == slot.running
    assert slot.running is not None
    assert (slot.running.release, slot.env_keys, slot.invocation) == (target.release, target.env_keys, "+")
    assert (made.releases, made.unit, made.owner) == ((target.release,), target.unit, "ours")
    assert made.migrated == (target.migration(target.release or ""),)
    assert target.route
    digest = target.route.digests[slot.name]
    assert made.route == RouteFile(slot.name, digest, intact=True, parts=target.route.parts)
    assert made.applied == AppliedRoute(slot.name, digest)
    assert made.hook is not None
    assert (made.hook.state, made.hook.hook, made.hook.identity) == ("done", "after_rollout", slot.running)


def test_what_it_does_not_have_is_not_there() -> None:
    target = desired_of(app("shop", ["a"])).targets["shop", "a"]

    made = converged_app(replace(target, route=None), "ours")

    assert (made.migrated, made.route, made.applied, made.jobs, made.hook) == ((), None, None, (), None)


def test_each_job_is_as_its_files_say() -> None:
    """One without times has no timer."""
    target = desired_of(APPS["jobs"]).targets["shop", "a"]

    made = {job.name: job for job in converged_app(target, "ours").jobs}

    assert {name: (job.scheduled, job.files) for name, job in made.items()} == {
        job.name: (job.name == "nightly", job.files) for job in target.jobs
    }
