"""The plan of a fleet: removals, our own Traefik, and the end of a plan that has none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide import plan as plan_module
from reconciler.decide.plan import AppPlan, plan, plan_fleet
from reconciler.model.action import Blocked, Converged, InstallRelease, RemoveApp
from reconciler.model.fleet import SeenFleet
from reconciler.model.observed import ObservedHost
from tests.decide.test_fleet import PLENTY, app, behind_traefik, desired_of, owned, seen_of, serving
from tests.support.world import wanted


def test_a_plan_says_whose_it_is_and_how_it_ends() -> None:
    seen = replace(ObservedHost("a"), locked="bob@ci:7 is changing this host")
    end = Blocked("a", "hello", seen.locked or "", "--wait-lock waits for it", retryable=True, kind="locked")

    assert plan(wanted("1"), seen) == AppPlan("a", "hello", (), end)


def test_a_removal_stays_in_the_plan_when_nothing_of_it_is_left_on_the_host() -> None:
    """Other apps go on after it; its own end is that it is gone."""
    names = "one", "two", "three"
    desired = desired_of(*(app(name, ["a"], ports=[4000 + 2 * i]) for i, name in enumerate(names)))
    look = owned("one", "two", "three", "old")
    for name in ("two", "three"):
        look = look.with_app(name, serving(desired.targets[name, "a"]))

    plans = plan_fleet(desired, SeenFleet({"a": replace(look, facts=PLENTY)}))

    removal = RemoveApp("a", "old", "no longer in the desired state")
    assert plans["old", "a"] == AppPlan("a", "old", (removal,), Converged("a", "old", "", ""))
    assert len(plans["one", "a"].actions) > 1


def test_what_is_in_the_way_of_routes_is_gone_once_our_traefik_was_rolled_out() -> None:
    """Its entry points are not known before, and its API and its folder may not be there yet."""
    desired = behind_traefik()
    nothing = ObservedHost(
        "a", replace(PLENTY, route_trouble="there is no such folder"), traefik="connection refused", entry_points=()
    )
    entry_points = {
        key: replace(target, route=replace(target.route, entry_points=("websecure",)) if target.route else None)
        for key, target in desired.targets.items()
    }

    plans = plan_fleet(replace(desired, targets=entry_points), seen_of(desired, a=nothing))

    assert [type(each.end) for each in plans.values()] == [Converged, Converged]


def test_an_action_of_another_app_does_not_make_traefik_answer() -> None:
    worker, routed = app("worker", ["a"], ports=[]), app("hello", ["a"], route={"domains": ["example.com"]})
    desired = desired_of(worker, routed)
    silent = ObservedHost("a", PLENTY, traefik="connection refused")

    plans = plan_fleet(desired, seen_of(desired, a=silent))

    assert isinstance(plans["worker", "a"].end, Converged)
    assert isinstance(plans["hello", "a"].end, Blocked)


def test_a_plan_in_which_nothing_changes_ends_after_forty_actions_and_says_what_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[str] = []

    def nothing_changes(seen: ObservedHost, action: InstallRelease, target: object) -> ObservedHost:
        taken.append(action.verb)
        return seen

    monkeypatch.setattr(plan_module, "expected_host", nothing_changes)

    with pytest.raises(AssertionError) as raised:
        plan(wanted("1"), ObservedHost("a"))

    install = InstallRelease("a", "hello", "not on the host", "1-000000000000")
    assert taken == ["install"] * 40
    assert str(raised.value) == f"the plan for hello on a does not end: {[install] * 4}"
