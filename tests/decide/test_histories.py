"""Histories of one app on the model host: commits, faults, kills, reboots and operators in any order, then rest.

The invariants of `World` are asked after every action. When everything has healed, two passes are enough, and a third
finds nothing to do.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, Converged, Step
from reconciler.model.target import Target
from tests.support.world import World, run_pass, wanted

GOOD, BAD = ("1", "2", "3"), "9"
PASSES = 2


class Histories(RuleBasedStateMachine):
    """One host, one app, and a controller that may die after any action."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(behaviour={f"{BAD}-{'0' * 12}": "crashes", "bad-env": "crashes"})
        self.target: Target = wanted("1")

    @initialize(version=st.sampled_from(GOOD))
    def begin(self, version: str) -> None:
        self.target = wanted(version)

    @rule(version=st.sampled_from((*GOOD, BAD)), env=st.sampled_from(("e1", "e2", "bad-env")))
    def commit(self, version: str, env: str) -> None:
        self.target = wanted(version, env=env)

    @rule()
    def commit_a_good_version(self) -> None:
        self.target = wanted("2")

    @rule()
    def run_a_pass(self) -> None:
        run_pass(self.world, self.target)

    @rule(count=st.integers(0, 12))
    def kill_a_pass(self, count: int) -> None:
        """The controller is gone after so many actions."""
        run_pass(self.world, self.target, cut_after=count)

    @rule(at=st.integers(0, 8))
    def fail_an_action(self, at: int) -> None:
        """One action has no effect, whatever it said; the next look shows that."""
        seen = self.world.look()
        for count in range(60):
            step = next_action(self.target, seen)
            if isinstance(step, Converged | Blocked):
                return
            seen = self.world.look() if count == at else self.world.apply(step, self.target)
        raise AssertionError(f"the pass does not end: {self.world.actions[-6:]}")

    @rule()
    def reboot(self) -> None:
        self.world.once_served = self.world.once_served and not self.world.disabled_by_hand
        self.world.reboot(self.target)

    # Faults that last.

    @rule(lags=st.booleans())
    def let_traefik_lag(self, lags: bool) -> None:
        self.world.traefik_lags = lags

    @rule(silent=st.booleans())
    def let_traefik_be_silent(self, silent: bool) -> None:
        self.world.seen = replace(self.world.seen, traefik="no answer within 5 s" if silent else None)

    # Operators. What they do to the slot that serves may cost its visitors something, until a pass has put it right.

    @property
    def _live(self) -> str:
        route = self.world.app.route
        return route.slot if route and self.world.app.slot(route.slot).running_now else ""

    @precondition(lambda self: self._live)
    @rule(what=st.sampled_from(("stops", "disables", "edits")))
    def touch_the_live_slot(self, what: str) -> None:
        app = self.world.app
        slot = app.slot(self._live)
        if what == "stops":
            slot = replace(slot, state="inactive", running=None, healthy=None)
            self.world.once_served = False
        elif what == "disables":
            slot = replace(slot, enabled=False)
            self.world.disabled_by_hand = True
        else:
            slot = replace(slot, files_intact=False)
        self.world.seen = self.world.seen.with_app("hello", app.with_slot(slot))

    @precondition(lambda self: self.world.app.route)
    @rule()
    def delete_the_route(self) -> None:
        self.world.once_served = False
        self.world.seen = self.world.seen.with_app("hello", replace(self.world.app, route=None, applied=None))

    @invariant()
    def at_most_two_run(self) -> None:
        assert len([slot for slot in self.world.app.slots if slot.running_now]) <= 2

    # The end.

    def teardown(self) -> None:
        """Everything heals, and the newest commit stays the newest."""
        self.let_traefik_lag(False)
        self.let_traefik_be_silent(False)
        ends: list[Step | None] = []
        while len(ends) < PASSES and not isinstance(ends[-1] if ends else None, Converged):
            ends.append(run_pass(self.world, self.target))
        running = [slot.running for slot in self.world.app.slots if slot.running_now]
        if self._is_good():
            assert isinstance(ends[-1], Converged), ends
            assert [each and each.release for each in running] == [self.target.release]
        else:
            assert isinstance(ends[-1], Blocked), ends
            assert all(each and not self.world._bad(each) for each in running)
        self._rests(ends[-1])

    def _is_good(self) -> bool:
        behaviour = self.world.behaviour
        return self.target.release not in behaviour and self.target.env not in behaviour

    def _rests(self, end: Step | None) -> None:
        before = len(self.world.actions)
        assert type(run_pass(self.world, self.target)) is type(end)
        assert self.world.actions[before:] == []


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=100,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate),
)
