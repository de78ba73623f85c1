"""What an app and its processes wait for, said in full: the step of each as if it were alone, and what it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.family import together, why_process_stays
from reconciler.decide.order import FleetStep
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    InstallRelease,
    PruneReleases,
    RejectRelease,
    RunHook,
    Soak,
    StartInstance,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import Unreachable
from reconciler.targets.processes import with_processes
from tests.decide.test_family import (
    MAILER,
    PROCESSES,
    ROUTE,
    SHOP,
    WORKER,
    changed,
    converged,
    cut_over,
    failed,
    identity_of,
    look_of,
    shop,
    trial,
    upgrade,
)
from tests.decide.test_fleet import app, desired_of

R1, R2 = "1-aaaaaaaaaaaa", "2-aaaaaaaaaaaa"
ON_B = ("shop--mailer", "b")


def install(key: Key, **more: Any) -> InstallRelease:
    return InstallRelease(key[1], key[0], "not on host", R2, **more)


def start(desired: DesiredFleet, key: Key, **more: Any) -> StartInstance:
    return StartInstance(key[1], key[0], "new", "worker", identity_of(desired, key), **more)


def enable(key: Key) -> EnableInstance:
    return EnableInstance(key[1], key[0], "healthy", "worker", "new")


def cutover() -> Cutover:
    return Cutover("a", "shop", "healthy", "4001", "new", "x")


def blocked(key: Key, reason: str, **more: Any) -> Blocked:
    return Blocked(key[1], key[0], reason, **more)


def steps_of(*steps: Any) -> dict[Key, FleetStep]:
    return {(step.app, step.host): step for step in steps}


# The app itself cannot be worked out, or its host was not seen.


def without_leader(desired: DesiredFleet) -> DesiredFleet:
    return replace(desired, targets={key: target for key, target in desired.targets.items() if key != SHOP})


def test_processes_stay_as_they_are_while_their_app_cannot_be_worked_out() -> None:
    desired, seen = upgrade()
    refused = blocked(SHOP, "no secret", kind="secret")

    found = together(without_leader(desired), seen, steps_of(refused, start(desired, MAILER), install(WORKER)))

    assert found[SHOP] == refused
    assert found[MAILER] == blocked(MAILER, "shop is not converged on a", kind="waiting")
    assert found[WORKER] == blocked(WORKER, "shop is not converged on a", kind="waiting")


def test_processes_wait_while_their_app_waits_and_rest_if_they_rest() -> None:
    desired, seen = upgrade()
    waits, rests = Wait("a", "shop", "comes after db"), Converged("a", "shop--worker", "2", "worker")
    found = together(without_leader(desired), seen, steps_of(waits, start(desired, MAILER), rests))

    assert found[MAILER] == Wait("a", "shop--mailer", "shop is not yet converged on a")
    assert found[WORKER] == rests
    for step in (blocked(MAILER, "no room", kind="action"), Wait("a", "shop--mailer", "its turn"), rests):
        kept = together(without_leader(desired), seen, steps_of(waits, step))
        assert kept[step.app, "a"] == step
    alone = together(without_leader(desired), seen, steps_of(start(desired, MAILER)))
    assert alone[MAILER] == start(desired, MAILER), "nothing is known of the app: nothing is waited for"


def test_processes_of_a_host_that_was_not_seen_wait_for_their_app() -> None:
    desired = shop("2")
    waits = Wait("a", "shop", "its host was not looked at")

    found = together(desired, SeenFleet({}), steps_of(waits, start(desired, MAILER)))

    assert isinstance(found[MAILER], Wait)


def test_what_is_under_way_is_not_changed() -> None:
    desired, seen = upgrade()
    under_way = replace(seen, under_way={MAILER: start(desired, MAILER), SHOP: cutover()})
    steps = steps_of(cutover(), start(desired, MAILER), start(desired, WORKER))

    assert together(desired, under_way, steps)[SHOP] == cutover()
    refused = steps_of(blocked(SHOP, "no secret"), start(desired, MAILER))
    assert together(without_leader(desired), under_way, refused)[MAILER] == start(desired, MAILER)


# The app waits for its processes, and they for it.


def test_each_of_them_says_whom_it_waits_for() -> None:
    desired, seen = upgrade()
    steps = steps_of(cutover(), start(desired, MAILER), enable(WORKER))
    found = together(desired, seen, steps)
    assert found == {
        SHOP: Wait("a", "shop", "waits for shop--mailer on a"),
        MAILER: start(desired, MAILER),
        WORKER: Wait("a", "shop--worker", "waits for shop on a"),
    }

    early = together(desired, seen, steps_of(install(SHOP), start(desired, MAILER), enable(WORKER)))
    assert early == {
        SHOP: install(SHOP),
        MAILER: Wait("a", "shop--mailer", "waits for shop on a"),
        WORKER: Wait("a", "shop--worker", "waits for shop on a"),
    }
    worker_app = EnableInstance("a", "shop", "healthy", "4001", "new")
    assert together(desired, seen, steps_of(worker_app, start(desired, MAILER)))[MAILER] == start(desired, MAILER)
    assert together(desired, seen, steps_of(worker_app, start(desired, MAILER)))[SHOP] == Wait(
        "a", "shop", "waits for shop--mailer on a"
    )


def test_a_process_that_waits_for_an_app_which_is_stuck_is_stuck_too() -> None:
    """Unless the app serves the version already: then it only has to wait for its turn."""
    desired, seen = upgrade()
    stuck, turn = blocked(SHOP, "no room", kind="action"), Wait("a", "shop--mailer", "its turn", for_place=True)

    assert together(desired, seen, steps_of(stuck, turn))[MAILER] == blocked(
        MAILER, "waits for shop: no room", serving="1", kind="waiting"
    )
    done = converged(desired)
    assert together(desired, done, steps_of(stuck, turn))[MAILER] == turn
    assert together(desired, seen, steps_of(install(SHOP), turn))[MAILER] == turn
    own = Wait("a", "shop", "its turn", for_place=True)
    assert together(desired, seen, steps_of(own, turn))[SHOP] == own


def test_a_process_that_rests_is_left_alone_whatever_the_app_does() -> None:
    desired, seen = upgrade()
    rests, stuck = Converged("a", "shop--mailer", "2", "worker"), blocked(WORKER, "no room", kind="action")

    found = together(desired, seen, steps_of(install(SHOP), rests, stuck))

    assert (found[MAILER], found[WORKER]) == (rests, stuck)


def test_a_process_that_carries_the_version_is_repaired_without_the_app() -> None:
    """It was stopped, or its release is damaged: that waits for nothing but the release of the app."""
    desired = shop("2")
    seen = converged(desired)
    again, repaired = start(desired, MAILER), install(MAILER, replaces_damaged=True)
    assert together(desired, seen, steps_of(install(SHOP), again))[MAILER] == again

    assert together(desired, seen, steps_of(Converged("a", "shop", "2", "4000"), repaired))[MAILER] == replace(
        repaired, copied=True, reason="not on host; copied from shop"
    )
    damaged = changed(seen, SHOP, damaged=(R2,))
    assert together(desired, damaged, steps_of(install(SHOP), repaired))[MAILER] == Wait(
        "a", "shop--mailer", "waits for shop on a"
    )


def test_a_process_is_copied_only_from_what_the_app_has_whole() -> None:
    desired, seen = upgrade()
    assert together(desired, seen, steps_of(install(SHOP), install(MAILER)))[MAILER] == Wait(
        "a", "shop--mailer", "waits for shop on a"
    )
    there = changed(seen, SHOP, releases=(R1, R2))
    steps = steps_of(WaitHealthy("a", "shop", "new", "4001"), install(MAILER))
    assert together(desired, there, steps)[MAILER] == InstallRelease(
        "a", "shop--mailer", "copied from shop", R2, copied=True
    )


def test_a_process_with_drift_is_started_before_the_app_is_proven() -> None:
    desired, seen = upgrade()
    drifted = start(desired, MAILER, drift="stopped")

    assert together(desired, seen, steps_of(install(SHOP), drifted))[MAILER] == drifted


# Where it ran before.


def moved(seen_more: dict[str, Any] | None = None) -> tuple[DesiredFleet, SeenFleet]:
    """The mailer is wanted on b, and still runs on a."""
    on_a = shop("1", ("a", "b"), processes={"mailer": {"start": "bin/mail", "hosts": ["a"]}})
    on_b = shop("1", ("a", "b"), processes={"mailer": {"start": "bin/mail", "hosts": ["b"]}})
    return on_b, replace(converged(on_a), **(seen_more or {}))


WHY_B = "waits until shop--mailer has ended on a: it must not run twice"


def test_a_process_waits_while_its_former_place_moves_and_is_stuck_with_it() -> None:
    desired, seen = moved()
    wanted = start(desired, ON_B)
    serves = Converged("b", "shop", "1", "4000")
    stops = StopInstance("a", "shop--mailer", "no longer desired", "worker")

    assert together(desired, seen, steps_of(serves, wanted, stops))[ON_B] == Wait("b", "shop--mailer", WHY_B)
    stuck = blocked(MAILER, "no room", kind="action")
    assert together(desired, seen, steps_of(serves, wanted, stuck))[ON_B] == blocked(ON_B, WHY_B, kind="waiting")
    assert together(desired, seen, steps_of(serves, wanted))[ON_B] == blocked(ON_B, WHY_B, kind="waiting")


def test_a_former_place_counts_while_anything_runs_there() -> None:
    desired, seen = moved()
    look = look_of(seen)
    live = look.app("shop--mailer").slots[0]
    idle = replace(live, name="old", state="inactive", running=None)
    both = seen.with_host(look.with_app("shop--mailer", replace(look.app("shop--mailer"), slots=(idle, live))))
    none = seen.with_host(look.with_app("shop--mailer", replace(look.app("shop--mailer"), slots=(idle,))))
    serves, wanted = Converged("b", "shop", "1", "4000"), start(desired, ON_B)

    assert isinstance(together(desired, both, steps_of(serves, wanted))[ON_B], Blocked)
    assert together(desired, none, steps_of(serves, wanted))[ON_B] == wanted
    lost = replace(seen, hosts={**seen.hosts, "a": Unreachable("a", "no answer")})
    assert together(desired, lost, steps_of(serves, wanted))[ON_B] == wanted, "it was looked at, and says nothing"


def test_the_former_name_of_a_process_ends_first_too() -> None:
    after = desired_of(*with_processes(app("store", ["a"], processes=PROCESSES, moved_from="shop", route=ROUTE)))
    seen = converged(shop("1"))
    key = ("store--mailer", "a")
    steps = steps_of(
        Cutover("a", "store", "healthy", "4001", "new", "x"),
        start(after, key),
        StopInstance("a", "shop--mailer", "no longer desired", "worker"),
    )

    assert together(after, seen, steps)[key] == Wait(
        "a", "store--mailer", "waits until shop--mailer has ended on a: it must not run twice"
    )


# What fails takes the others back.


def test_a_process_that_failed_takes_back_what_is_on_trial_of_the_app() -> None:
    desired, seen = upgrade()
    seen = changed(trial(desired, seen, SHOP), SHOP, by_hand="hello.service")
    why = "its process mailer failed: it exited"
    steps = steps_of(cutover(), blocked(MAILER, "version 2 failed here: it exited", kind="quarantined"))

    found = together(desired, seen, steps)[SHOP]

    identity = identity_of(desired, SHOP)
    assert found == RejectRelease("a", "shop", why, "4001", identity, why, takes_over="hello.service", hook="none")


def test_an_app_of_which_a_process_failed_is_not_started_and_says_what_to_do() -> None:
    desired, seen = upgrade()
    steps = steps_of(install(SHOP), blocked(MAILER, "it exited", kind="quarantined"))

    assert together(desired, seen, steps)[SHOP] == Blocked(
        "a",
        "shop",
        "version 2 failed here: its process mailer failed: it exited",
        "reconcile logs shop; then commit another version or env",
        "1",
        kind="quarantined",
    )


@pytest.mark.parametrize("kind", ["action", "waiting", "host"])
def test_only_a_process_that_was_given_up_takes_the_app_back(kind: Any) -> None:
    desired, seen = upgrade()
    steps = steps_of(install(SHOP), blocked(MAILER, "no room", kind=kind))

    assert together(desired, seen, steps)[SHOP] == install(SHOP)


def test_the_hook_that_tells_of_a_failed_process_counts_as_its_failure() -> None:
    desired, seen = upgrade()
    tells = RunHook("a", "shop--mailer", "it exited", "on_failure", identity_of(desired, MAILER))
    warms = RunHook("a", "shop--mailer", "once", "after_rollout", identity_of(desired, MAILER))
    on_trial = trial(desired, seen, SHOP)

    back = together(desired, on_trial, steps_of(cutover(), tells))[SHOP]
    assert isinstance(back, RejectRelease)
    assert back.why == "its process mailer failed: it exited"
    assert not isinstance(together(desired, on_trial, steps_of(cutover(), warms))[SHOP], RejectRelease)


@pytest.mark.parametrize("how", ["on trial", "in place of the former one", "not enabled"])
def test_a_process_goes_back_with_its_app_however_far_it_came(how: str) -> None:
    desired, seen = upgrade()
    seen = trial(desired, seen, MAILER)
    slot = look_of(seen).app("shop--mailer").slots[0]
    former = slot.previous
    slot = {
        "on trial": replace(slot, previous=None, enabled=True),
        "in place of the former one": replace(slot, on_trial=False, enabled=True, previous=former),
        "not enabled": replace(slot, on_trial=False, previous=None, enabled=False),
    }[how]
    seen = changed(seen, MAILER, slots=(slot,))
    step = WaitHealthy("a", "shop--mailer", "new", "worker")
    gone = blocked(SHOP, "version 2 failed here: never healthy", kind="quarantined")

    why = "rolled back with shop, which failed: never healthy"
    assert together(desired, seen, steps_of(gone, step))[MAILER] == RejectRelease(
        "a", "shop--mailer", why, "worker", identity_of(desired, MAILER), why, takes_over=None, hook="none"
    )
    other = replace(slot, prepared=former, running=former)
    kept = changed(seen, MAILER, slots=(other,))
    assert not isinstance(together(desired, kept, steps_of(gone, step))[MAILER], RejectRelease)
    half = changed(seen, MAILER, slots=(replace(slot, running=former),))
    assert isinstance(together(desired, half, steps_of(gone, step))[MAILER], RejectRelease), "its files are there"
    ran = changed(seen, MAILER, slots=(replace(slot, prepared=former),))
    assert isinstance(together(desired, ran, steps_of(gone, step))[MAILER], RejectRelease), "it runs"


def test_an_app_that_serves_the_version_does_not_take_its_processes_back() -> None:
    """It was quarantined once, and serves by another way since: only what is new goes back."""
    desired = shop("2")
    done = trial(desired, converged(desired), MAILER, enabled=False)
    gone = blocked(SHOP, "version 2 failed here: never healthy", kind="quarantined")
    step = WaitHealthy("a", "shop--mailer", "new", "worker")

    assert together(desired, done, steps_of(gone, step))[MAILER] == step


def test_after_the_cutover_the_former_instance_stays_until_all_are_accepted() -> None:
    desired, before = upgrade()
    seen = cut_over(desired, before)
    drains, confirms = Drain("a", "shop", "5 s", "4000"), ConfirmRoute("a", "shop", "x", "4001", "x")
    stops = StopInstance("a", "shop", "replaced", "4000")

    for step in (drains, stops):
        assert together(desired, seen, steps_of(step, enable(MAILER), enable(WORKER)))[SHOP] == Wait(
            "a", "shop", "waits for shop--mailer on a"
        )
    assert together(desired, seen, steps_of(confirms, enable(MAILER)))[SHOP] == confirms
    fails = blocked(MAILER, "no room", kind="action")
    assert together(desired, seen, steps_of(drains, fails))[SHOP] == drains, "it may never come"


def test_what_was_given_up_already_is_not_given_up_twice() -> None:
    desired, seen = upgrade()
    seen = failed(desired, trial(desired, seen, SHOP), SHOP, "its process mailer failed")
    steps = steps_of(StopInstance("a", "shop", "x", "4001"), blocked(MAILER, "it exited", kind="quarantined"))

    assert together(desired, seen, steps)[SHOP] == StopInstance("a", "shop", "x", "4001")


def after_cutover() -> tuple[DesiredFleet, SeenFleet]:
    desired, before = upgrade()
    return desired, cut_over(desired, before)


def without_former(seen: SeenFleet) -> SeenFleet:
    """The web process that served before is gone."""
    return changed(seen, SHOP, slots=tuple(slot for slot in look_of(seen).app("shop").slots if slot.name == "4001"))


CONFIRMS, SOAKS = ConfirmRoute("a", "shop", "x", "4001", "x"), Soak("a", "shop", "x", "4001")
DRAINS, STOPS = Drain("a", "shop", "5 s", "4000"), StopInstance("a", "shop", "replaced", "4000")
PRUNES = PruneReleases("a", "shop", "the last 2 are kept", (R1,))
GIVEN_UP = blocked(MAILER, "it exited", kind="quarantined")


@pytest.mark.parametrize("step", [CONFIRMS, SOAKS, DRAINS, STOPS])
def test_after_the_cutover_a_process_that_fails_gives_the_route_back(step: FleetStep) -> None:
    desired, seen = after_cutover()

    found = together(desired, seen, steps_of(step, GIVEN_UP, enable(WORKER)))[SHOP]

    assert isinstance(found, GoBack)
    assert (found.slot, found.from_slot, found.why) == ("4000", "4001", "its process mailer failed: it exited")
    assert together(desired, without_former(seen), steps_of(step, GIVEN_UP))[SHOP] == step, "there is no way back"


@pytest.mark.parametrize("step", [PRUNES, Converged("a", "shop", "2", "4001"), blocked(SHOP, "no room", kind="action")])
def test_what_the_app_does_beside_the_rollout_goes_on_when_a_process_fails(step: FleetStep) -> None:
    desired, seen = after_cutover()

    assert together(desired, seen, steps_of(step, GIVEN_UP))[SHOP] == step


def test_an_app_that_is_stuck_or_tells_of_its_failure_is_not_taken_back_for_its_process() -> None:
    desired, seen = upgrade()
    tells = RunHook("a", "shop", "never healthy", "on_failure", identity_of(desired, SHOP))

    for step in (blocked(SHOP, "no room", kind="action"), tells):
        assert together(desired, trial(desired, seen, SHOP), steps_of(step, GIVEN_UP))[SHOP] == step


def test_once_one_process_is_accepted_the_rest_is_not_waited_for() -> None:
    desired, seen = after_cutover()
    look = look_of(seen)
    accepted = seen.with_host(look.with_app("shop--worker", look_of(converged(desired)).app("shop--worker")))
    done = Converged("a", "shop--worker", "2", "worker")
    tells = RunHook("a", "shop--mailer", "it exited", "on_failure", identity_of(desired, MAILER))

    for failure in (GIVEN_UP, tells, blocked(MAILER, "no room", kind="action")):
        assert together(desired, accepted, steps_of(DRAINS, failure, done))[SHOP] == DRAINS
    assert together(desired, accepted, steps_of(DRAINS, enable(MAILER), done))[SHOP] == Wait(
        "a", "shop", "waits for shop--mailer on a"
    )


def test_a_process_is_accepted_when_all_are_ready_or_no_way_back_is_left() -> None:
    desired, seen = after_cutover()
    waits = WaitHealthy("a", "shop--mailer", "new", "worker")
    stuck = blocked(MAILER, "no room", kind="action")
    tells = RunHook("a", "shop--mailer", "it exited", "on_failure", identity_of(desired, MAILER))

    def worker_with(mailer: FleetStep, seen: SeenFleet = seen) -> FleetStep:
        return together(desired, seen, steps_of(DRAINS, mailer, enable(WORKER)))[WORKER]

    assert worker_with(enable(MAILER)) == enable(WORKER)
    assert worker_with(waits) == Wait("a", "shop--worker", "waits for shop--mailer on a")
    assert worker_with(stuck) == blocked(WORKER, "waits for shop--mailer: no room", serving="2", kind="waiting")
    assert worker_with(waits, without_former(seen)) == Wait("a", "shop--worker", "waits for shop--mailer on a")
    for ended in (stuck, tells):
        assert worker_with(ended, without_former(seen)) == enable(WORKER)
    assert worker_with(tells) != enable(WORKER), "the app can go back yet"


@pytest.mark.parametrize(
    ("soak_seconds", "step", "waits"), [(1, CONFIRMS, True), (1, SOAKS, True), (0, CONFIRMS, False)]
)
def test_while_the_app_soaks_no_process_is_accepted(soak_seconds: int, step: FleetStep, waits: bool) -> None:
    desired = shop("2", soak_seconds=soak_seconds)
    seen = cut_over(desired, converged(shop("1", soak_seconds=soak_seconds)))

    found = together(desired, seen, steps_of(step, enable(MAILER), enable(WORKER)))[MAILER]

    assert found == (Wait("a", "shop--mailer", "waits for shop on a") if waits else enable(MAILER))
    drains = together(desired, seen, steps_of(DRAINS, enable(MAILER), enable(WORKER)))[MAILER]
    assert drains == enable(MAILER)


def test_a_process_starts_where_it_was_not_only_after_a_look_at_every_host() -> None:
    desired, seen = moved()
    unseen = replace(seen, hosts={"b": seen.hosts["b"]})
    serves = Converged("b", "shop", "1", "4000")

    assert together(desired, unseen, steps_of(serves, start(desired, ON_B)))[ON_B] == Wait(
        "b", "shop--mailer", "waits until a was looked at: it must not run twice"
    )
    there = converged(desired)
    runs = replace(there, hosts={"b": there.hosts["b"]})
    changes = start(desired, ON_B)
    assert together(desired, runs, steps_of(serves, changes))[ON_B] == changes, "it runs here, and so nowhere else"


# What is no longer desired.


@pytest.mark.parametrize(
    "step",
    [
        Converged("a", "shop", "2", "4000"),
        Cutover("a", "shop", "healthy", "4001", "new", "x"),
        EnableInstance("a", "shop", "healthy", "4001", "new"),
    ],
)
def test_a_process_that_is_not_desired_goes_once_the_app_takes_over(step: FleetStep) -> None:
    desired = shop("2", processes={"mailer": PROCESSES["mailer"]})

    assert why_process_stays("shop--worker", "a", desired, {SHOP: step}) is None
    assert why_process_stays("shop--worker", "a", desired, {}) is None


def test_a_process_that_is_not_desired_stays_while_its_app_works_on_that_host() -> None:
    desired = desired_of(
        *with_processes(app("shop", ["a", "b"], processes={"mailer": PROCESSES["mailer"]})), app("x", ["a"])
    )
    working: dict[Key, FleetStep] = {
        ("shop", "b"): install(("shop", "b")),
        ("x", "a"): install(("x", "a")),
        SHOP: install(SHOP),
    }

    assert why_process_stays("shop--worker", "a", desired, working) == "shop is not yet converged on a"
    done: dict[Key, FleetStep] = {**working, SHOP: Converged("a", "shop", "1", "4000")}
    assert why_process_stays("shop--worker", "a", desired, done) is None
    elsewhere: dict[Key, FleetStep] = {("shop", "b"): install(("shop", "b")), ("x", "a"): install(("x", "a"))}
    assert why_process_stays("shop--worker", "a", desired, elsewhere) is None
    unknown = without_leader(desired)
    assert why_process_stays("shop--worker", "a", unknown, {SHOP: install(SHOP)}) is None
