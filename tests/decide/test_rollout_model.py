"""The pure core in the model world: any history, cut anywhere, ends where it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, ConfirmRoute, Converged, Cutover, StartInstance, WaitHealthy
from reconciler.model.identity import Identity
from reconciler.model.observed import CHANGED, AppliedRoute, HostFacts, ObservedHost
from reconciler.model.target import TargetRoute
from tests.support.world import World, run_pass, wanted


def verbs(world: World) -> list[str]:
    return [action.verb for action in world.actions]


def test_a_first_rollout_ends_converged_and_a_second_pass_does_nothing() -> None:
    """Install, start, wait, cutover, confirm; then quiet."""
    world = World()

    assert isinstance(run_pass(world, wanted()), Converged)
    assert verbs(world) == ["install", "start", "wait", "cutover", "confirm"]
    world.actions.clear()
    assert isinstance(run_pass(world, wanted()), Converged)
    assert world.actions == []


def test_a_new_version_starts_beside_the_old_one_which_leaves_last() -> None:
    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("2")), Converged)
    assert verbs(world) == ["install", "start", "wait", "cutover", "confirm", "drain", "stop"]


def test_an_env_change_needs_no_upload() -> None:
    world = World()
    run_pass(world, wanted("1", env="e1"))
    world.actions.clear()

    run_pass(world, wanted("1", env="e2"))
    assert "install" not in verbs(world)
    assert world.actions[0].reason == "env GREETING changed"


def test_an_unhealthy_release_never_gets_the_route_and_is_not_tried_again() -> None:
    world = World(behaviour={"2-000000000000": "crashes"})
    run_pass(world, wanted("1"))

    end = run_pass(world, wanted("2"))
    assert isinstance(end, Blocked)
    assert (end.serving, end.kind) == ("1", "quarantined")
    world.actions.clear()
    assert isinstance(run_pass(world, wanted("2")), Blocked)
    assert world.actions == []
    assert isinstance(run_pass(world, wanted("1")), Converged)


def test_with_one_slot_a_bad_release_brings_the_old_one_back() -> None:
    world = World(behaviour={"2-000000000000": "crashes"})
    run_pass(world, wanted("1", slots=("4000",)))
    world.actions.clear()

    end = run_pass(world, wanted("2", slots=("4000",)))
    assert isinstance(end, Blocked)
    assert end.serving == "1"
    assert "stop-first" in next(a.reason for a in world.actions if isinstance(a, StartInstance))


def test_a_broken_traefik_stops_a_rollout_before_it_starts_anything() -> None:
    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()
    world.seen = replace(world.seen, traefik="connection refused")

    assert isinstance(run_pass(world, wanted("2")), Blocked)
    assert world.actions == []


def test_an_instance_stopped_by_hand_is_started_again_in_its_slot() -> None:
    world = World()
    run_pass(world, wanted("1"))
    live = world.app.slot("4000")
    stopped = replace(live, state="inactive", running=None)
    world.once_served = False
    world.seen = world.seen.with_app("hello", world.app.with_slot(stopped))
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("1")), Converged)
    assert verbs(world)[0] == "start"
    assert world.actions[0].drift == "stopped"


def test_old_releases_are_pruned_but_never_one_that_runs() -> None:
    world = World()
    for version in "123456":
        assert isinstance(run_pass(world, wanted(version, keep_releases=3)), Converged)

    assert world.app.releases == tuple(f"{v}-000000000000" for v in "456")


def crowd(world: World) -> None:
    """From now on an instance takes 300 MiB, and 100 are available."""
    world.crowded = True
    slots = tuple(replace(slot, memory_kib=300 * 1024) for slot in world.app.slots)
    world.seen = replace(world.seen, facts=replace(world.seen.facts, memory_available_kib=100 * 1024))
    world.seen = world.seen.with_app("hello", replace(world.app, slots=slots))
    world.actions.clear()


def test_without_room_for_a_second_copy_the_old_one_stops_first_and_the_plan_says_so() -> None:
    world = World()
    run_pass(world, wanted("1"))
    crowd(world)

    assert isinstance(run_pass(world, wanted("2")), Converged)
    assert verbs(world) == ["install", "start", "wait", "cutover"]
    assert world.actions[1].reason == (
        "version 1 → 2; stop-first, a second copy needs about 360 MiB of memory and 100 MiB are available: "
        "no service until it is healthy"
    )
    assert [slot.name for slot in world.app.slots if slot.occupied] == ["4000"]


def test_without_room_a_bad_release_gives_way_to_the_one_before() -> None:
    world = World(behaviour={"2-000000000000": "crashes"})
    run_pass(world, wanted("1"))
    crowd(world)

    end = run_pass(world, wanted("2"))
    assert isinstance(end, Blocked)
    assert (end.serving, verbs(world)) == ("1", ["install", "start", "wait", "reject"])


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize("release", ["2", "bad"])
def test_a_stop_first_swap_for_want_of_room_cut_anywhere_is_finished(cut: int, release: str) -> None:
    world = World(behaviour={"bad-000000000000": "crashes"})
    run_pass(world, wanted("1"))
    crowd(world)
    run_pass(world, wanted(release), cut_after=cut)

    assert isinstance(run_pass(world, wanted("3")), Converged)
    assert len([slot for slot in world.app.slots if slot.occupied]) == 1


def test_without_room_leftovers_of_another_rollout_are_stopped_first() -> None:
    world = World()
    run_pass(world, wanted("1"))
    run_pass(world, wanted("2"), cut_after=2)
    crowd(world)

    assert isinstance(run_pass(world, wanted("3")), Converged)
    assert verbs(world)[:3] == ["install", "stop", "start"]


def test_failed_releases_never_displace_the_previous_good_one() -> None:
    """However many bad ones came in between: what served before stays on the host."""
    world = World(behaviour={f"{v}-000000000000": "crashes" for v in "2345"})
    assert isinstance(run_pass(world, wanted("1")), Converged)
    for version in "2345":
        assert isinstance(run_pass(world, wanted(version)), Blocked)

    assert isinstance(run_pass(world, wanted("6", keep_releases=2)), Converged)
    assert world.app.releases == ("1-000000000000", "6-000000000000")


def test_what_is_routed_is_enabled_again_before_its_successor_starts() -> None:
    """Somebody disabled it by hand: a reboot in the middle of the rollout must bring it back."""
    world = World()
    run_pass(world, wanted("1"))
    live(world, enabled=False)

    assert isinstance(run_pass(world, wanted("2")), Converged)
    assert verbs(world) == ["enable", "install", "start", "wait", "cutover", "confirm", "drain", "stop"]


def test_a_worker_without_route_is_enabled_once_it_is_healthy() -> None:
    world = World()
    target = wanted("1", slots=("worker",), route=None, health_path=None)

    assert isinstance(run_pass(world, target), Converged)
    assert verbs(world) == ["install", "start", "wait", "enable"]


def test_a_stranger_on_the_port_blocks_with_its_name() -> None:
    world = World()
    stranger = replace(world.app.slot("4000"), stranger="nginx (pid 7)")
    world.seen = world.seen.with_app("hello", world.app.with_slot(stranger))

    end = run_pass(world, wanted("1"))
    assert isinstance(end, Blocked)
    assert "nginx (pid 7)" in end.reason
    assert end.kind == "port_taken"


def taken(world: World, name: str, **changes: object) -> None:
    """The app evil listens on the port of this slot, whose own process is not to be had."""
    stolen = replace(world.app.slot(name), stranger="the app evil", port_lost=True, listening=False, healthy=False)
    world.seen = world.seen.with_app("hello", world.app.with_slot(replace(stolen, **changes)))  # type: ignore[arg-type]


def free(world: World, name: str) -> None:
    again = replace(world.app.slot(name), stranger=None, port_lost=False, listening=True, healthy=True, state="active")
    world.seen = world.seen.with_app("hello", world.app.with_slot(again))


def test_an_app_whose_port_was_taken_moves_to_its_other_one() -> None:
    """The route leaves first; it comes back with the other slot, once that is proven."""
    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()
    taken(world, "4000", restarts=3)

    assert isinstance(run_pass(world, wanted("1")), Converged)
    assert verbs(world) == ["unroute", "start", "wait", "cutover", "confirm", "stop"]
    assert world.actions[0].reason == "port 4000 is taken by the app evil"
    assert world.app.route and world.app.route.slot == "4001"


@pytest.mark.parametrize("slots", [("4000",), ("4000", "4001")])
def test_an_app_without_a_free_port_waits_without_a_route_and_recovers(slots: tuple[str, ...]) -> None:
    """Nothing is quarantined, and who has the port is said before that the app crashes."""
    world, target = World(), wanted("1", slots=slots)
    run_pass(world, target)
    world.actions.clear()
    for name in slots:
        taken(world, name, restarts=7, state="activating" if name == "4000" else "inactive")

    for _ in range(2):
        end = run_pass(world, target)
        assert isinstance(end, Blocked) and (end.kind, end.retryable) == ("port_taken", True)
        assert "is taken by the app evil" in end.reason
    assert (verbs(world), world.app.route, world.app.quarantined) == (["unroute"], None, ())

    world.seen = world.seen.with_app("hello", replace(world.app, applied=None))  # Traefik has seen it go
    world.once_served = False
    for name in slots:
        free(world, name) if name == "4000" else taken(world, name, stranger=None, port_lost=False)
    assert isinstance(run_pass(world, target), Converged)
    assert verbs(world) == ["unroute", "cutover", "confirm"]


def test_a_new_version_whose_port_is_taken_is_stopped_and_not_quarantined() -> None:
    """The version that serves goes on; the new one has its next try when the port is free."""
    world = World()
    run_pass(world, wanted("1"))
    seen, target = world.look(), wanted("2")
    while not isinstance(step := next_action(target, seen), WaitHealthy):
        assert not isinstance(step, Converged | Blocked)
        seen = world.apply(step, target)
    taken(world, "4001", restarts=2, failure="it exited 2 times")

    end = next_action(target, world.apply(next_action(target, world.seen), target))  # type: ignore[arg-type]

    assert verbs(world)[-1] == "stop"
    assert not world.app.quarantined and world.app.route and world.app.route.slot == "4000"
    assert not isinstance(end, Blocked)  # the model frees a port as it stops a slot
    assert isinstance(run_pass(world, target), Converged)


def test_a_stop_first_start_without_its_port_keeps_what_served_for_the_next_boot() -> None:
    world, target = World(), wanted("2", slots=("4000",))
    run_pass(world, wanted("1", slots=("4000",)))
    seen = world.look()
    while not isinstance(step := next_action(target, seen), WaitHealthy):
        assert not isinstance(step, Converged | Blocked)
        seen = world.apply(step, target)
    before = world.app.slot("4000").previous
    taken(world, "4000", restarts=2, failure="it exited 2 times")
    world.actions.clear()

    end = run_pass(world, target)

    assert isinstance(end, Blocked) and end.kind == "port_taken"
    assert (verbs(world), world.app.quarantined) == (["unroute"], ())
    assert before and world.app.slot("4000").previous == before


def test_a_possible_child_of_the_app_on_its_port_does_not_cost_the_route() -> None:
    """As where all apps are of one login: nothing starts there, but what serves is left alone."""
    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()
    taken(world, "4000", port_lost=False)

    end = run_pass(world, wanted("1"))

    assert isinstance(end, Blocked) and end.kind == "port_taken"
    assert verbs(world) == []


def test_a_foreign_folder_of_the_app_stops_it_before_its_first_action() -> None:
    world = World()
    world.seen = world.seen.with_app("hello", replace(world.app, taken=("/var/lib/hello", "/etc/passwd")))

    end = run_pass(world, wanted("1"))

    assert verbs(world) == []
    assert isinstance(end, Blocked)
    assert (end.kind, end.reason) == (
        "foreign",
        "/var/lib/hello, a user hello: already there, but not created by reconcile; nothing was changed",
    )
    assert "reconcile adopt hello" in (end.next_step or "")


CHANGES = st.sampled_from(["1", "2", "3", "bad", "1:e2", "2:bad-env", "3:e2"])
STEP = st.tuples(CHANGES, st.one_of(st.none(), st.integers(0, 9)), st.booleans())


def desire(text: str, slots: tuple[str, ...], routed: bool, migrates: bool) -> object:
    version, _, env = text.partition(":")
    route = wanted(slots=slots).route if routed else None
    return wanted(version, env=env or "e1", slots=slots, route=route, migrates=migrates)


@settings(max_examples=400, deadline=None)
@given(
    history=st.lists(STEP, min_size=1, max_size=8),
    slots=st.sampled_from([("4000", "4001"), ("4000",)]),
    routed=st.booleans(),
    migrates=st.booleans(),
    traefik_lags=st.booleans(),
)
def test_any_history_cut_anywhere_ends_converged_with_nothing_left_over(
    history: list[tuple[str, int | None, bool]],
    slots: tuple[str, ...],
    routed: bool,
    migrates: bool,
    traefik_lags: bool,
) -> None:
    """Versions and envs change, passes are cut, the host reboots; the invariants hold at every state (World)."""
    world = World(behaviour={"bad-000000000000": "crashes", "bad-env": "crashes"}, traefik_lags=traefik_lags)
    for change, cut_after, reboots in history:
        want = desire(change, slots, routed, migrates)
        run_pass(world, want, cut_after)  # type: ignore[arg-type]
        if reboots:
            world.reboot(want)  # type: ignore[arg-type]

    final = wanted("9", slots=slots, route=desire("1", slots, routed, migrates).route, migrates=migrates)  # type: ignore[attr-defined]
    end = run_pass(world, final)
    assert isinstance(end, Converged), end
    assert [slot.name for slot in world.app.slots if slot.occupied] == [end.slot]
    assert world.app.slot(end.slot).enabled
    world.actions.clear()
    assert isinstance(run_pass(world, final), Converged)
    assert world.actions == []


def test_an_unreachable_host_is_left_alone() -> None:
    from reconciler.decide.next_action import next_action
    from reconciler.model.observed import Unreachable

    step = next_action(wanted(), Unreachable("a", "no route to host"))
    assert isinstance(step, Blocked)


def test_the_world_starts_empty() -> None:
    assert World().look() == ObservedHost("a").with_app("hello", World().app)


@pytest.mark.parametrize("cut", range(8))
def test_a_rollout_cut_after_any_action_is_finished_by_the_next_pass(cut: int) -> None:
    world = World()
    run_pass(world, wanted("1"))
    run_pass(world, wanted("2"), cut_after=cut)

    assert isinstance(run_pass(world, wanted("2")), Converged)


def live(world: World, **changes: object) -> None:
    """Somebody changes the live slot by hand."""
    slot = next(slot for slot in world.app.slots if slot.enabled)
    world.once_served = False
    world.seen = world.seen.with_app("hello", world.app.with_slot(replace(slot, **changes)))  # type: ignore[arg-type]
    world.actions.clear()


def test_a_route_that_comes_back_before_traefik_has_applied_the_one_between_is_confirmed_anew() -> None:
    """Traefik shows the marker of the first file, and is about to apply the second: it may not count for the third."""
    world = World(replace(World().seen, facts=HostFacts(now_epoch_seconds=1_000, memory_available_kib=1_000_000)))
    run_pass(world, wanted("1"))
    world.traefik_lags = True
    run_pass(world, wanted("2"), cut_after=4)
    assert verbs(world)[-1] == "cutover"
    world.actions.clear()

    seen = world.look()
    while not isinstance(step := next_action(wanted("1"), seen), Converged | Blocked) and step.verb != "confirm":
        assert step.verb not in ("drain", "stop"), world.actions
        seen = world.apply(step, wanted("1"))

    assert verbs(world) == ["wait", "cutover"]
    assert isinstance(step, ConfirmRoute)
    route, applied = world.app.route, world.app.applied
    assert route and applied
    assert (step.digest, step.attempt) == (route.digest, route.attempt)
    assert applied.digest == route.digest and applied.attempt < route.attempt


@pytest.mark.parametrize("now", [0, 5, 1000])
def test_no_write_of_a_route_bears_a_number_that_traefik_may_still_show(now: int) -> None:
    """Also if the file was deleted, or the clock was set back."""
    world = World()
    run_pass(world, wanted("1"))
    applied = replace(world.app.applied or AppliedRoute("", ""), attempt=100)
    app = replace(world.app, route=None, applied=applied, route_deleted=True)
    world.seen = replace(world.seen.with_app("hello", app), facts=HostFacts(now_epoch_seconds=now))

    step = next_action(wanted("1"), world.seen)

    assert isinstance(step, Cutover)
    assert step.attempt == max(now, 101)


def test_a_deleted_route_file_is_written_again_at_once() -> None:
    world = World()
    run_pass(world, wanted("1"))
    world.seen = world.seen.with_app("hello", replace(world.app, route=None, route_deleted=True, applied=None))
    world.once_served = False
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("1")), Converged)
    assert verbs(world) == ["cutover", "confirm"]
    assert world.actions[0].drift == "route"


def test_an_accepted_unit_that_has_failed_is_started_again() -> None:
    world = World()
    run_pass(world, wanted("1"))
    live(world, state="failed", running=None, last_exit="resources, status 0")

    assert isinstance(run_pass(world, wanted("1")), Converged)
    assert verbs(world) == ["start", "wait"]
    assert world.actions[0].drift == "failed"


@pytest.mark.parametrize("changes", [{}, {"health_path": None, "port_asked": False, "route": None}])
def test_an_accepted_instance_that_keeps_crashing_is_never_converged(changes: dict[str, Any]) -> None:
    """It is waited for, then reported with how often and since when; the watch tries again by itself."""
    world, target = World(), wanted("1", **changes)
    run_pass(world, target)
    crashing = {"state": "activating", "restarts": 7, "since": "Mon 2026-11-23 03:58:22 UTC"}
    live(world, **crashing, listening=False, healthy=None)
    said = "it keeps crashing: restart attempt 7 was at 2026-11-23 03:58:22 UTC, and systemd keeps trying"

    step = next_action(target, world.look())
    given_up = world.app.with_slot(replace(world.app.slot("4000"), failure="it exited 2 times"))
    end = next_action(target, world.seen.with_app("hello", given_up))

    assert isinstance(step, WaitHealthy)
    assert step.reason == said
    assert isinstance(end, Blocked)
    assert (end.kind, end.retryable, end.serving) == ("crashing", True, None)
    assert end.reason == f"slot 4000 (1): {said}"
    live(world, state="active", listening=True, healthy=True)
    assert isinstance(run_pass(world, target), Converged)


def test_drift_is_only_reported_where_that_is_asked_for_but_a_new_version_still_rolls_out() -> None:
    world = World()
    run_pass(world, wanted("1"))
    live(world, state="inactive", running=None)

    end = run_pass(world, wanted("1", only_report_drift=True))
    assert isinstance(end, Blocked)
    assert end.reason == "drift, only reported: would start slot 4000, 1, not running"
    assert end.kind == "drift"
    assert world.actions == []
    assert isinstance(run_pass(world, wanted("2", only_report_drift=True)), Converged)


@pytest.mark.parametrize("cut", [None, *range(8)])
def test_a_damaged_release_is_replaced_through_the_other_slot(cut: int | None) -> None:
    """What runs from it is never left on files that are not there any more; and it goes on if the pass is cut off."""
    world = World()
    run_pass(world, wanted("1"))
    world.seen = world.seen.with_app("hello", replace(world.app, damaged=("1-000000000000",)))
    world.actions.clear()

    run_pass(world, wanted("1"), cut_after=cut)
    assert isinstance(run_pass(world, wanted("1")), Converged)

    once = ["install", "start", "cutover", "stop", "prune"]
    assert [verb for verb in verbs(world) if verb not in ("wait", "confirm", "drain")] == once
    assert (
        verbs(world) == ["install", "start", "wait", "cutover", "confirm", "drain", "stop", "prune"] or cut is not None
    )
    assert [action.drift for action in world.actions[:2]] == ["release", "release"]
    assert world.actions[1].reason == "its files were changed on the host"
    assert [slot.name for slot in world.app.slots if slot.running_now] == ["4001"]


def test_a_damaged_release_of_an_app_with_one_port_is_started_anew_in_its_slot() -> None:
    world = World()
    run_pass(world, wanted("1", slots=("4000",)))
    world.seen = world.seen.with_app("hello", replace(world.app, damaged=("1-000000000000",)))
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("1", slots=("4000",))), Converged)
    assert verbs(world) == ["install", "start", "wait", "prune"]
    assert "stop-first, only one slot" in world.actions[1].reason


@pytest.mark.parametrize(
    "running",
    [
        pytest.param(Identity("1-000000000000", "e2", "u1"), id="code of one version, env of the next"),
        pytest.param(Identity("2-000000000000", CHANGED, CHANGED), id="files edited by hand before a restart"),
    ],
)
@pytest.mark.parametrize("reported", [False, True])
def test_what_runs_other_code_or_env_than_its_files_say_is_replaced(running: Identity, reported: bool) -> None:
    """A power cut may come between two renames; then a boot starts a mixture. Its files alone look as desired."""
    world, target = World(), wanted("2", env="e2", only_report_drift=reported)
    run_pass(world, wanted("1"))
    run_pass(world, replace(target, only_report_drift=False))
    live(world, running=running)
    world.actions.clear()

    end = run_pass(world, target)

    if reported:
        assert isinstance(end, Blocked)
        assert end.kind == "drift"
        return
    assert isinstance(end, Converged)
    assert verbs(world) == ["start", "wait", "cutover", "confirm", "drain", "stop"]
    assert world.actions[0].drift == "env"


def test_a_suspended_app_is_not_changed_and_says_what_it_would_do() -> None:
    world = World()
    run_pass(world, wanted("1"))
    world.seen = world.seen.with_app("hello", replace(world.app, suspended="by ann: freeze"))
    world.actions.clear()

    end = run_pass(world, wanted("2"))
    assert isinstance(end, Blocked)
    assert end.reason == "suspended by ann: freeze; it would install: not on the host"
    assert world.actions == []


def test_a_host_leased_by_another_controller_is_left_alone() -> None:
    world = World()
    world.seen = replace(world.seen, locked="bob@ci:7 is changing this host")

    end = run_pass(world, wanted("1"))
    assert isinstance(end, Blocked)
    assert end.kind == "locked"
    assert world.actions == []


def test_after_the_cutover_the_old_instance_stays_warm_until_the_soak_is_over() -> None:
    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("2", soak_seconds=60.0)), Converged)
    assert verbs(world)[-3:] == ["soak", "drain", "stop"]


def test_a_release_that_fails_in_its_soak_gives_way_to_the_old_one_and_stays_away() -> None:
    world = World(dies_in_soak={"2-000000000000"})
    run_pass(world, wanted("1"))
    world.actions.clear()

    end = run_pass(world, wanted("2", soak_seconds=60.0))
    assert isinstance(end, Blocked)
    assert end.serving == "1"
    assert verbs(world)[-4:] == ["goback", "confirm", "drain", "stop"]
    assert [slot.name for slot in world.app.slots if slot.occupied] == ["4000"]
    world.actions.clear()
    assert isinstance(run_pass(world, wanted("2", soak_seconds=60.0)), Blocked)
    assert world.actions == []


def test_a_removed_app_loses_its_traffic_first_and_its_files_last() -> None:
    from reconciler.model.target import Target

    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()
    world.once_served = False

    assert isinstance(run_pass(world, Target.removal("a", "hello")), Converged)
    assert verbs(world) == ["unroute", "confirm", "stop", "remove"]
    assert world.app == type(world.app)()


def test_a_removal_waits_for_its_replacement() -> None:
    from reconciler.model.target import Target

    world = World()
    run_pass(world, wanted("1"))
    world.actions.clear()

    end = run_pass(world, Target.removal("a", "hello", "hello2 is not converged on a"))
    assert isinstance(end, Blocked)
    assert world.actions == []


def test_a_failed_release_is_tried_again_when_its_migration_or_health_check_was_corrected() -> None:
    world = World(behaviour={"2-000000000000": "crashes"})
    run_pass(world, wanted("1"))
    assert isinstance(run_pass(world, wanted("2", attempt="a1")), Blocked)
    assert isinstance(run_pass(world, wanted("2", attempt="a1")), Blocked)
    world.behaviour.clear()

    assert isinstance(run_pass(world, wanted("2", attempt="a2")), Converged)


def test_no_action_of_a_rollout_counts_as_drift() -> None:
    """Not even that of a commit which changes the domains: the file on the host is as it was written."""
    world = World()
    run_pass(world, wanted("1"))
    run_pass(world, wanted("2"))
    route = TargetRoute(("other.example.com",), {"4000": "other-4000", "4001": "other-4001"})
    run_pass(world, wanted("2", route=route))

    assert verbs(world)[-2:] == ["cutover", "confirm"]
    assert [action.drift for action in world.actions if action.drift] == []


def test_an_app_that_speaks_no_http_is_accepted_by_its_open_port() -> None:
    """And swaps like any other."""
    world = World()
    assert isinstance(run_pass(world, wanted("1", health_path=None, port_asked=True)), Converged)
    assert [action.reason for action in world.actions if action.verb == "wait"] == ["port open for 2 s, within 60 s"]
    world.actions.clear()

    assert isinstance(run_pass(world, wanted("2", health_path=None, port_asked=True)), Converged)
    assert verbs(world) == ["install", "start", "wait", "cutover", "confirm", "drain", "stop"]
    world.actions.clear()
    assert isinstance(run_pass(world, wanted("2", health_path=None, port_asked=True)), Converged)
    assert world.actions == []
