"""An app and its processes are one version: proven together, changed in order, taken back together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.expected import expected_host
from reconciler.decide.fleet import next_steps
from reconciler.decide.order import FleetStep
from reconciler.decide.plan import plan_fleet
from reconciler.model.action import (
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    InstallRelease,
    RejectRelease,
    RunHook,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.identity import Identity
from reconciler.model.observed import HookMark, ObservedApp, ObservedHost, Quarantine, Slot
from reconciler.targets.processes import with_processes
from tests.decide.test_fleet import PLENTY, app, desired_of, serving

SHOP, MAILER, WORKER = ("shop", "a"), ("shop--mailer", "a"), ("shop--worker", "a")
PROCESSES = {"mailer": {"start": "bin/mail"}, "worker": {"start": "bin/work"}}
ROUTE = {"domains": ["shop.test"]}


def shop(version: str = "1", hosts: tuple[str, ...] = ("a",), **more: object) -> DesiredFleet:
    keys = {"version": version, "processes": PROCESSES, "route": ROUTE, **more}
    return desired_of(*with_processes(app("shop", list(hosts), **keys)))


def converged(desired: DesiredFleet, *hosts: str) -> SeenFleet:
    """The hosts on which all of it is converged."""
    looks = {}
    for host in hosts or desired.hosts:
        apps = {name: serving(target) for (name, on), target in desired.targets.items() if on == host}
        looks[host] = ObservedHost(host, PLENTY, apps=apps)
    return SeenFleet({**{host: ObservedHost(host, PLENTY) for host in desired.hosts}, **looks})


def changed(seen: SeenFleet, key: Key, **more: object) -> SeenFleet:
    look = seen.host(key[1])
    assert look is not None
    return seen.with_host(look.with_app(key[0], replace(look.app(key[0]), **more)))  # type: ignore[arg-type]


def on_trial(identity: Identity, slot: str, **more: object) -> Slot:
    base = Slot(
        slot, prepared=identity, state="active", running=identity, on_trial=True, invocation="new", listening=True,
        healthy=True, health="200", healthy_for_seconds=99,
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def trial(desired: DesiredFleet, seen: SeenFleet, key: Key, **more: object) -> SeenFleet:
    """The desired release of this one on trial and proven: beside the former one, or in its place."""
    look, target = seen.host(key[1]), desired.targets[key]
    assert look is not None and target.release is not None
    before, identity = look.app(key[0]), target.identity(target.release)
    idle = target.slots[-1]
    slot = on_trial(identity, idle, **more)
    if target.one_slot:
        slot = replace(slot, previous=before.slot(idle).running, enabled=before.slot(idle).enabled)
    app = replace(before.with_slot(slot), releases=tuple({*before.releases, identity.release}))
    return seen.with_host(look.with_app(key[0], app))


def kinds(steps: dict[Key, FleetStep], *keys: Key) -> list[type[FleetStep]]:
    return [type(steps[key]) for key in keys]


def why(step: FleetStep) -> str:
    assert not isinstance(step, Converged)
    return step.reason


def upgrade() -> tuple[DesiredFleet, SeenFleet]:
    return shop("2"), converged(shop("1"))


def test_an_app_without_the_key_is_as_it_was() -> None:
    alone = app("shop", ["a"])

    assert with_processes(alone) == (alone,)


def test_the_plan_of_a_new_version_has_the_order_and_each_gap() -> None:
    """Proven beside the former one, then the processes, then the cutover, then they are accepted."""
    desired, seen = upgrade()

    plans = plan_fleet(desired, seen)

    assert [each.verb for each in plans[SHOP].actions][:4] == ["install", "start", "wait", "cutover"]
    assert [each.verb for each in plans[MAILER].actions] == ["install", "start", "wait", "enable"]
    assert "waits for shop--mailer on a" in plans[SHOP].waits
    assert "waits for shop on a" in plans[MAILER].waits
    start = plans[MAILER].actions[1]
    assert start.reason.endswith("; the former one ends first, since it must not run twice")
    assert {type(each.end) for each in plans.values()} == {Converged}


def test_a_process_waits_until_the_web_process_is_proven() -> None:
    desired, seen = upgrade()
    for key in (MAILER, WORKER):
        seen = changed(seen, key, releases=("1-aaaaaaaaaaaa", "2-aaaaaaaaaaaa"))
    seen = trial(desired, seen, SHOP, healthy_for_seconds=0.5)
    assert kinds(next_steps(desired, seen), SHOP, MAILER, WORKER) == [WaitHealthy, Wait, Wait]

    seen = trial(desired, seen, SHOP)
    assert kinds(next_steps(desired, seen), SHOP, MAILER, WORKER) == [Wait, StartInstance, StartInstance]


def test_the_cutover_waits_for_every_process_and_they_are_accepted_after_it() -> None:
    desired, seen = upgrade()
    seen = trial(desired, trial(desired, seen, SHOP), MAILER)
    assert kinds(next_steps(desired, seen), SHOP, MAILER) == [Wait, Wait]

    seen = trial(desired, seen, WORKER)
    assert kinds(next_steps(desired, seen), SHOP, MAILER, WORKER) == [Cutover, Wait, Wait]

    seen = seen.with_host(replace(converged(desired).hosts["a"], apps={  # type: ignore[arg-type]
        **look_of(seen).apps, "shop": look_of(converged(desired)).app("shop"),
    }))  # fmt: skip
    assert kinds(next_steps(desired, seen), SHOP, MAILER, WORKER) == [Converged, EnableInstance, EnableInstance]


def cut_over(desired: DesiredFleet, seen: SeenFleet, **more: object) -> SeenFleet:
    """After the cutover: the new web process serves, the former one is warm, and both processes are on trial."""
    seen = trial(desired, trial(desired, trial(desired, seen, SHOP, **more), MAILER), WORKER)
    for kind in (Cutover, ConfirmRoute):
        step = next_steps(desired, seen)[SHOP]
        assert isinstance(step, kind)
        seen = seen.with_host(expected_host(look_of(seen), step, desired.targets[SHOP]))
    return seen


def to_the_end(desired: DesiredFleet, seen: SeenFleet) -> tuple[SeenFleet, list[tuple[str, str]]]:
    """Take every step until nothing is left to do; what was done, in order."""
    done: list[tuple[str, str]] = []
    while True:
        steps = next_steps(desired, seen)
        going = [(key, step) for key, step in steps.items() if not isinstance(step, Converged | Blocked | Wait)]
        if not going:
            return seen, done
        key, step = going[0]
        done.append((key[0], step.verb))
        seen = seen.with_host(expected_host(look_of(seen), step, desired.targets[key]))


def test_a_process_that_ends_after_the_cutover_takes_the_web_process_back_too() -> None:
    """The former one is still there: it gets the route back, and then the others go back."""
    desired, before = upgrade()
    seen = cut_over(desired, before)
    former = look_of(before).app("shop--mailer")
    seen = failed(desired, changed(seen, MAILER, slots=former.slots), MAILER, "it exited 5 times")

    back = next_steps(desired, seen)[SHOP]
    assert isinstance(back, GoBack)
    assert (back.slot, back.from_slot, back.why) == ("4000", "4001", "its process mailer failed: it exited 5 times")

    seen, done = to_the_end(desired, seen)
    assert done == [
        ("shop", "goback"), ("shop", "confirm"), ("shop", "drain"), ("shop", "stop"), ("shop--worker", "reject"),
    ]  # fmt: skip
    steps = next_steps(desired, seen)
    assert kinds(steps, SHOP, MAILER, WORKER) == [Blocked, Blocked, Blocked]
    assert {step.serving for step in steps.values() if isinstance(step, Blocked)} == {"1"}


def test_the_former_web_process_is_kept_until_every_process_is_accepted() -> None:
    desired, before = upgrade()
    seen = cut_over(desired, before)
    steps = next_steps(desired, seen)
    assert kinds(steps, SHOP, MAILER, WORKER) == [Wait, EnableInstance, EnableInstance]
    assert why(steps[SHOP]) == "waits for shop--mailer on a"

    _, done = to_the_end(desired, seen)

    assert done == [("shop--mailer", "enable"), ("shop--worker", "enable"), ("shop", "drain"), ("shop", "stop")]


def test_while_the_web_process_soaks_the_others_stay_on_trial() -> None:
    desired = shop("2", soak_seconds=60)
    seen = cut_over(desired, converged(shop("1", soak_seconds=60)))
    assert kinds(next_steps(desired, seen), SHOP, MAILER, WORKER) == [Soak, Wait, Wait]

    _, done = to_the_end(desired, seen)

    assert [verb for _, verb in done] == ["soak", "enable", "enable", "drain", "stop"]


def test_once_a_process_is_accepted_none_goes_back() -> None:
    """Most of a version is better than two of each: the one that failed goes back alone, which is reported."""
    desired, before = upgrade()
    seen = cut_over(desired, before)
    seen = seen.with_host(expected_host(look_of(seen), next_steps(desired, seen)[WORKER], desired.targets[WORKER]))  # type: ignore[arg-type]
    seen = failed(desired, changed(seen, MAILER, slots=look_of(before).app("shop--mailer").slots), MAILER, "it exited")

    steps = next_steps(desired, seen)

    assert kinds(steps, SHOP, MAILER, WORKER) == [Drain, Blocked, Converged]
    assert why(steps[MAILER]) == "version 2 failed here: it exited"


def look_of(seen: SeenFleet) -> ObservedHost:
    look = seen.host("a")
    assert look is not None
    return look


def failed(desired: DesiredFleet, seen: SeenFleet, key: Key, reason: str) -> SeenFleet:
    target = desired.targets[key]
    entry = Quarantine(target.identity(target.release or ""), reason, 0, target.attempt)
    return changed(seen, key, quarantined=(entry,))


def test_a_process_that_fails_takes_the_web_process_back_and_then_the_others() -> None:
    desired, seen = upgrade()
    seen = trial(desired, trial(desired, seen, SHOP), WORKER)
    seen = failed(desired, seen, MAILER, "it exited 5 times")

    steps = next_steps(desired, seen)
    back = steps[SHOP]
    assert isinstance(back, RejectRelease)
    assert (back.slot, back.why) == ("4001", "its process mailer failed: it exited 5 times")
    assert isinstance(steps[WORKER], Wait)

    seen = failed(desired, changed(seen, SHOP, slots=look_of(converged(shop("1"))).app("shop").slots), SHOP, back.why)
    steps = next_steps(desired, seen)
    assert kinds(steps, SHOP, WORKER, MAILER) == [Blocked, RejectRelease, Blocked]
    assert "rolled back with shop" in why(steps[WORKER])


def test_a_version_of_which_a_process_failed_is_not_started_again() -> None:
    """As for another controller, after one that was killed before it took the web process back."""
    desired, seen = upgrade()
    seen = failed(desired, seen, MAILER, "it exited 5 times")

    step = next_steps(desired, seen)[SHOP]

    assert isinstance(step, Blocked)
    assert step.kind == "quarantined"
    assert step.serving == "1"


def test_another_process_is_another_attempt_for_all_of_them() -> None:
    desired, other = shop("2"), shop("2", processes={**PROCESSES, "mailer": {"start": "bin/mail --fixed"}})

    for key in (SHOP, MAILER, WORKER):
        assert desired.targets[key].attempt != other.targets[key].attempt


def test_a_web_process_that_fails_leaves_the_processes_alone() -> None:
    desired, seen = upgrade()
    seen = failed(desired, seen, SHOP, "never healthy")

    steps = next_steps(desired, seen)

    assert kinds(steps, SHOP, MAILER, WORKER) == [Blocked, Blocked, Blocked]
    assert why(steps[MAILER]).startswith("waits for shop: version 2 failed here")


def test_a_process_alone_that_is_changed_does_not_touch_the_web_process() -> None:
    before, after = shop("1"), shop("1", processes={**PROCESSES, "mailer": {"start": "bin/mail --fast"}})
    seen = converged(before)
    assert kinds(next_steps(after, seen), SHOP, MAILER, WORKER) == [Converged, StartInstance, Converged]

    seen = failed(after, seen, MAILER, "it exited 5 times")
    assert kinds(next_steps(after, seen), SHOP, MAILER, WORKER) == [Converged, Blocked, Converged]


def test_a_process_copies_the_release_that_the_app_has_on_the_host() -> None:
    desired, seen = upgrade()
    assert kinds(next_steps(desired, seen), SHOP, MAILER) == [InstallRelease, Wait]

    step = next_steps(desired, changed(seen, SHOP, releases=("1-aaaaaaaaaaaa", "2-aaaaaaaaaaaa")))[MAILER]

    assert isinstance(step, InstallRelease)
    assert step.copied
    assert step.reason == "copied from shop"


def test_a_host_follows_only_when_the_processes_of_the_one_before_are_converged() -> None:
    desired, seen = shop("2", ("a", "b")), converged(shop("1", ("a", "b")))
    done = converged(desired, "a").hosts["a"]
    assert isinstance(done, ObservedHost)
    late = done.with_app("shop--mailer", look_of(seen).app("shop--mailer"))

    waits = next_steps(desired, seen.with_host(late))
    goes = next_steps(desired, seen.with_host(done))

    assert kinds(waits, ("shop", "b"), ("shop--mailer", "b")) == [Wait, Wait]
    assert kinds(goes, ("shop", "b"), ("shop--mailer", "b")) == [InstallRelease, Wait]


def test_a_process_ends_on_its_former_host_before_it_starts_on_another() -> None:
    on_a = shop("1", ("a", "b"), processes={"mailer": {"start": "bin/mail", "hosts": ["a"]}})
    on_b = shop("1", ("a", "b"), processes={"mailer": {"start": "bin/mail", "hosts": ["b"]}})
    seen = converged(on_a)
    for key in (("shop", "a"), ("shop", "b")):
        seen = changed(seen, key, releases=("1-aaaaaaaaaaaa",))
    seen = changed(seen, ("shop--mailer", "b"), releases=("1-aaaaaaaaaaaa",), owner="reconcile")

    steps = next_steps(on_b, seen)

    assert isinstance(steps["shop--mailer", "a"], StopInstance)
    assert why(steps["shop--mailer", "b"]) == "waits until shop--mailer has ended on a: it must not run twice"
    assert {type(each.end) for each in plan_fleet(on_b, seen).values()} == {Converged}


def test_a_process_waits_for_the_look_at_every_other_host_before_it_starts_where_it_was_not() -> None:
    on_b = shop("1", ("a", "b"), processes={"mailer": {"start": "bin/mail", "hosts": ["b"]}})
    seen = changed(converged(on_b), ("shop--mailer", "b"), slots=())
    unseen = replace(seen, hosts={"b": seen.hosts["b"]})

    assert why(next_steps(on_b, unseen)["shop--mailer", "b"]) == "waits until a was looked at: it must not run twice"
    assert isinstance(next_steps(on_b, seen)["shop--mailer", "b"], StartInstance)


def test_a_renamed_app_does_not_run_its_processes_twice() -> None:
    before = shop("1")
    after = desired_of(*with_processes(app("store", ["a"], processes=PROCESSES, moved_from="shop", route=ROUTE)))
    seen = converged(before)
    assert next_steps(after, seen)[MAILER] == Blocked(
        "a", "shop--mailer", "not removed yet: store is not yet converged on a", kind="waiting"
    )

    plans = plan_fleet(after, seen)

    assert {type(each.end) for each in plans.values()} == {Converged}
    assert [each.verb for each in plans["store--mailer", "a"].actions] == ["install", "start", "wait", "enable"]
    assert [each.verb for each in plans[MAILER].actions] == ["stop", "remove"]
    waits = plans["store--mailer", "a"].waits
    assert "waits until shop--mailer has ended on a: it must not run twice" in waits


def test_a_process_that_is_no_longer_desired_ends_with_the_version_that_had_it() -> None:
    desired = shop("2", processes={"mailer": PROCESSES["mailer"]})
    seen = converged(shop("1"))
    assert isinstance(next_steps(desired, seen)[WORKER], Blocked)

    assert isinstance(plan_fleet(desired, seen)[WORKER].end, Converged)


def test_removing_processes_is_no_removal_of_apps() -> None:
    """It is one app, however many processes it had: the guard against mass removals counts apps."""
    seen = converged(shop("1"))

    steps = next_steps(desired_of(app("shop", ["a"], route=ROUTE)), seen)

    assert kinds(steps, MAILER, WORKER) == [StopInstance, StopInstance]


def test_an_app_that_cannot_be_worked_out_keeps_its_processes_as_they_are() -> None:
    desired, seen = upgrade()
    refused = Blocked("a", "shop", "no secret", kind="secret")
    targets = {key: target for key, target in desired.targets.items() if key != SHOP}

    steps = next_steps(replace(desired, targets=targets, refused={SHOP: refused}), seen)

    assert kinds(steps, MAILER, WORKER) == [Blocked, Blocked]


@pytest.mark.parametrize("drift", ["stopped", "gone"])
def test_a_process_that_was_stopped_is_started_whatever_the_others_do(drift: str) -> None:
    desired, seen = shop("1"), converged(shop("1"))
    slot = look_of(seen).app("shop--mailer").slots[0]
    stopped = replace(slot, state="inactive", running=None, enabled=drift == "stopped", listening=False)

    step = next_steps(desired, changed(seen, MAILER, slots=(stopped,)))[MAILER]

    assert isinstance(step, StartInstance)


def test_without_a_web_process_the_first_process_has_the_apps_own_unit() -> None:
    keys = {"app": "jobs", "version": "1", "artifact": {"source": "x.tar.gz"}, "hosts": ["a"], "migrate": "bin/m"}
    main, other = with_processes(App.model_validate({**keys, "processes": PROCESSES}))

    assert (main.app, main.start_command, main.migrate) == ("jobs", "bin/mail", "bin/m")
    assert (other.app, other.start_command, other.migrate) == ("jobs--worker", "bin/work", None)


def test_a_converged_family_is_quiet() -> None:
    desired = shop("1")

    assert {type(step) for step in next_steps(desired, converged(desired)).values()} == {Converged}


def test_nothing_of_an_app_is_there() -> None:
    """The first install of all of it."""
    desired = shop("1")
    seen = SeenFleet({"a": ObservedHost("a", PLENTY)})

    plans = plan_fleet(desired, seen)

    assert [each.verb for each in plans[SHOP].actions] == ["install", "start", "wait", "cutover", "confirm"]
    assert [each.verb for each in plans[WORKER].actions] == ["install", "start", "wait", "enable"]
    assert ObservedApp() == look_of(seen).app("shop")


HOOKS: dict[str, Any] = {"after_rollout": "bin/warm", "on_failure": "bin/tell"}


def identity_of(desired: DesiredFleet, key: Key) -> Identity:
    target = desired.targets[key]
    return target.identity(target.release or "")


def test_after_rollout_runs_once_for_all_of_them_and_at_last() -> None:
    """A process that is not there yet is waited for; nothing waits for the hook."""
    desired = shop("2", **HOOKS)
    seen = changed(converged(desired), SHOP, hook=HookMark("after_rollout", identity_of(desired, SHOP), "due"))

    done = next_steps(desired, seen)
    late = next_steps(desired, trial(desired, seen, MAILER))

    assert kinds(done, SHOP, MAILER, WORKER) == [RunHook, Converged, Converged]
    assert kinds(late, SHOP, MAILER, WORKER) == [Wait, EnableInstance, Converged]
    assert why(late[SHOP]) == "after_rollout waits for shop--mailer on a"


def test_a_process_that_failed_makes_on_failure_due_for_the_app_alone() -> None:
    """It runs although its process has failed, too, and meanwhile the others are taken back."""
    desired, seen = shop("2", **HOOKS), converged(shop("1"))
    seen = trial(desired, trial(desired, seen, SHOP), WORKER)
    failed = Quarantine(identity_of(desired, MAILER), "it exited", 0, desired.targets[MAILER].attempt)
    seen = changed(seen, MAILER, quarantined=(failed,), releases=(failed.identity.release,))

    first = next_steps(desired, seen)[SHOP]
    assert isinstance(first, RejectRelease)
    assert first.hook == "due"

    identity = identity_of(desired, SHOP)
    look = converged(shop("1")).host("a")
    assert look is not None
    former = look.app("shop")
    seen = changed(
        seen, SHOP, slots=former.slots, releases=(*former.releases, identity.release),
        quarantined=(Quarantine(identity, "its process mailer failed", 0, desired.targets[SHOP].attempt),),
        hook=HookMark("on_failure", identity, "due"),
    )  # fmt: skip
    steps = next_steps(desired, seen)
    assert kinds(steps, SHOP, WORKER) == [RunHook, RejectRelease]
    assert [step.hook for step in (steps[SHOP], steps[WORKER])] == ["on_failure", "none"]  # type: ignore[union-attr]


def without_mailer(desired: DesiredFleet) -> DesiredFleet:
    """The same while a secret that only the mailer has is missing."""
    refused = Blocked("a", "shop--mailer", "no secret", "set it", kind="secret")
    targets = {key: target for key, target in desired.targets.items() if key != MAILER}
    return replace(desired, targets=targets, refused={MAILER: refused})


def test_an_app_does_not_begin_a_version_of_which_a_process_cannot_be_worked_out() -> None:
    """A version is all of them: nothing is installed, migrated or started, and the reason is told."""
    desired, seen = upgrade()

    steps = next_steps(without_mailer(desired), seen)

    assert kinds(steps, SHOP, MAILER, WORKER) == [Blocked, Blocked, Blocked]
    reason = "waits for shop--mailer: no secret"
    assert steps[SHOP] == Blocked("a", "shop", reason, "set it", serving="1", kind="waiting")


def test_a_proven_app_does_not_take_over_without_a_process_that_cannot_be_worked_out() -> None:
    desired, seen = upgrade()

    ready = trial(desired, trial(desired, seen, SHOP), WORKER)

    assert kinds(next_steps(desired, trial(desired, ready, MAILER)), SHOP) == [Cutover]
    assert kinds(next_steps(without_mailer(desired), ready), SHOP, WORKER) == [Blocked, Blocked]


def test_an_app_whose_version_serves_goes_on_without_a_process_that_cannot_be_worked_out() -> None:
    """It is as desired, and a stopped instance is started again."""
    desired, seen = without_mailer(shop("1")), converged(shop("1"))
    (live, *_) = look_of(seen).app("shop").slots
    stopped = replace(live, state="inactive", running=None, listening=False, healthy=False, health="")

    assert kinds(next_steps(desired, seen), SHOP, WORKER) == [Converged, Converged]
    assert isinstance(next_steps(desired, changed(seen, SHOP, slots=(stopped,)))[SHOP], StartInstance | StartAgain)


def test_visitors_who_wait_for_the_only_slot_do_not_wait_for_a_process_that_cannot_be_worked_out() -> None:
    desired, seen = shop("2", ports=[4000]), converged(shop("1", ports=[4000]))

    held = next_steps(without_mailer(desired), changed(trial(desired, seen, SHOP), SHOP, hold="armed"))[SHOP]

    assert not isinstance(held, Blocked)
