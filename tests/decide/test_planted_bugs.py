"""The model can fail: two bugs are planted, and its invariants catch both."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from reconciler.decide import rollout
from reconciler.decide.case import Case
from reconciler.model.action import Cutover, StopInstance
from tests.support.world import World, run_pass, wanted

Plant = Callable[[pytest.MonkeyPatch], None]


def stop_before_traefik_has_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic: stop the old instance as soon as the file is written."""
    monkeypatch.setattr(rollout, "_confirm_slot", lambda case: None)
    monkeypatch.setattr(
        rollout, "leave", lambda case, slot, why: StopInstance(case.target.host, case.target.app, why, slot.name)
    )
    monkeypatch.setattr("reconciler.decide.guards.refusal", lambda step, want, seen: None)


def trust_that_it_will_be_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Route to what was started, without asking it."""

    def accept(case: Case) -> Cutover | None:
        return None if case.accepted else Cutover(*case.where, "surely", case.slot.name, case.slot.invocation)

    monkeypatch.setattr(rollout, "_accept_when_healthy", accept)


def explore() -> None:
    """Every pair of versions, cut at every action: small, exhaustive, and enough for both bugs."""
    for second, cut in itertools.product(["2", "bad"], [None, *range(8)]):
        world = World(behaviour={"bad-000000000000": "crashes"})
        for target, cut_after in ((wanted("1"), None), (wanted(second), cut), (wanted("3"), None)):
            run_pass(world, target, cut_after)


def test_without_planted_bugs_the_exploration_is_quiet() -> None:
    explore()


@pytest.mark.parametrize("plant", [stop_before_traefik_has_let_go, trust_that_it_will_be_healthy])
def test_the_model_catches_a_planted_bug(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the model has gone blind."""
    plant(monkeypatch)

    with pytest.raises(AssertionError, match=r"stops what is routed|accepts the unproven|never healthy|nobody serves"):
        explore()
