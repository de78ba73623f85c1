"""Removals: what is ours and no longer named, in which order, and what may not be removed yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.fleet import next_steps
from reconciler.decide.order import FleetStep
from reconciler.model.action import Blocked, InstallRelease, RemoveApp
from reconciler.model.fleet import DesiredFleet, Key
from reconciler.model.observed import ObservedApp, ObservedHost, Unreachable
from tests.decide.test_fleet import app, blocked, desired_of, owned, seen_of, serving

WHY = "no longer in the desired state"
LOST = Unreachable("b", "no route to host")


def removals(steps: dict[Key, FleetStep]) -> dict[Key, FleetStep]:
    return {key: step for key, step in steps.items() if not isinstance(step, InstallRelease)}


def waits(name: str, why: str, host: str = "a") -> Blocked:
    return Blocked(host, name, f"not removed yet: {why}", kind="waiting")


def moved(owner: str = "reconcile", host: str = "b") -> ObservedHost:
    """The host on which the app hello was before."""
    return replace(owned("hello", owner=owner), host=host)


def test_removals_come_in_the_same_order_every_time_and_so_do_the_names_in_a_refusal() -> None:
    names = [f"old{i}" for i in range(9)]
    desired = desired_of(hosts=("a",))
    seen = seen_of(desired, a=owned(*reversed(names)))

    allowed = next_steps(replace(desired, allow_prune=True), seen)
    refused = next_steps(desired, seen)

    assert list(allowed.values()) == [RemoveApp("a", name, WHY) for name in names]
    assert list(refused) == list(allowed)
    why = (
        "removing 9 of 9 apps at once (old0, old1, old2, old3, old4 and more) is more than a third; "
        "--allow-prune allows it"
    )
    assert set(refused.values()) == {replace(waits(name, why), kind="prune_guard") for name in names}


def test_an_app_that_cannot_be_worked_out_is_not_removed() -> None:
    """It is named; only its secret is missing."""
    refusal = blocked("a", "old", "secret")
    desired = desired_of(hosts=("a",), refused={("old", "a"): refusal}, allow_prune=True)

    assert next_steps(desired, seen_of(desired, a=owned("old"))) == {("old", "a"): refusal}


def test_without_a_name_for_the_desired_state_nothing_is_ours() -> None:
    desired = desired_of(hosts=("a",), owner="-", allow_prune=True)

    assert next_steps(desired, seen_of(desired, a=owned("old", owner="-"))) == {}


# An app that was moved.


@pytest.mark.parametrize("successor", ["rolling out", "failed", "refused", "done"])
def test_an_app_leaves_its_former_host_once_it_serves_on_the_new_one(successor: str) -> None:
    """It is still there, so it does not count among the apps that are removed at once."""
    desired = desired_of(app("hello", ["a"]), app("other", ["a"], ports=[4002]), hosts=("a", "b"))
    done = {("other", "a"), *({("hello", "a")} if successor == "done" else set())}
    seen = seen_of(desired, done, b=moved())
    failure = blocked("a", "hello")
    if successor == "failed":
        seen = replace(seen, failed={("hello", "a"): failure})
    if successor == "refused":
        rest = {key: target for key, target in desired.targets.items() if key[0] != "hello"}
        desired = replace(desired, targets=rest, refused={("hello", "a"): failure})

    step = next_steps(desired, seen)["hello", "b"]

    expected: dict[str, FleetStep] = {
        "rolling out": waits("hello", "hello is not yet converged on a", "b"),
        "failed": waits("hello", "hello is not converged on a", "b"),
        "refused": waits("hello", "hello is not converged on a", "b"),
        "done": RemoveApp("b", "hello", WHY),
    }
    assert step == expected[successor]


def test_a_renamed_app_waits_for_its_new_name_and_for_no_other_app() -> None:
    new, other = app("new", ["a"], moved_from="old"), app("other", ["a"], ports=[4002])
    desired = desired_of(new, other)
    seen = seen_of(desired, a=owned("old"))
    with_new = seen.hosts["a"].with_app("new", serving(desired.targets["new", "a"]))  # type: ignore[union-attr]

    assert next_steps(desired, seen)["old", "a"] == waits("old", "new is not yet converged on a")
    assert next_steps(desired, seen.with_host(with_new))["old", "a"] == RemoveApp("a", "old", WHY)


def test_an_app_that_vanished_waits_for_none() -> None:
    desired = desired_of(app("hello", ["a"]), allow_prune=True)

    assert removals(next_steps(desired, seen_of(desired, a=owned("old")))) == {("old", "a"): RemoveApp("a", "old", WHY)}


# Hosts that cannot be seen.


@pytest.mark.parametrize(
    ("own_words", "said"),
    [(None, "make it reachable, or take it out of fleet.yaml"), ("ssh-keygen -R b", "ssh-keygen -R b")],
)
def test_a_lost_host_without_a_target_is_named_with_what_to_do(own_words: str | None, said: str) -> None:
    desired = desired_of(app("hello", ["a"]), hosts=("a", "b"))
    lost = Unreachable("b", "its key has changed", own_words, retryable=False, kind="host_key")

    steps = next_steps(desired, seen_of(desired, b=lost))

    reason = "its key has changed; an app that was removed or moved may still run there"
    assert steps["", "b"] == Blocked("b", "", reason, said, retryable=False, kind="host_key")


@pytest.mark.parametrize(
    "desired",
    [
        pytest.param(desired_of(app("hello", ["a", "b"])), id="an app is wanted there, and says so itself"),
        pytest.param(
            desired_of(hosts=("a", "b"), refused={("hello", "b"): blocked("b", "hello")}), id="or cannot be worked out"
        ),
        pytest.param(desired_of(app("hello", ["a"]), hosts=("a", "b"), prunes=False), id="nothing is removed anyway"),
    ],
)
def test_no_more_is_said_about_a_lost_host_than_is_needed(desired: DesiredFleet) -> None:
    assert ("", "b") not in next_steps(desired, seen_of(desired, b=LOST))


def test_a_removal_that_has_begun_is_not_asked_about_while_its_host_is_lost() -> None:
    desired = desired_of(app("hello", ["a"]), hosts=("a", "b"))
    seen = replace(seen_of(desired, b=LOST), begun=frozenset({("old", "b")}))

    assert set(next_steps(desired, seen)) == {("hello", "a"), ("", "b")}


def test_an_app_of_whom_nothing_is_known_is_not_ours() -> None:
    desired = desired_of(hosts=("a",), allow_prune=True)
    look = ObservedHost("a", apps={"theirs": ObservedApp(releases=("1-x",))})

    assert next_steps(desired, seen_of(desired, a=look)) == {}
