"""What waits for what in the fleet: hosts in batches, apps after apps, removals, and places on a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.batches import groups
from reconciler.decide.fleet import Answers, Failure, failures, next_steps
from reconciler.decide.guards import too_many_removals
from reconciler.decide.next_action import next_action
from reconciler.decide.order import FleetStep
from reconciler.decide.plan import plan_fleet
from reconciler.errors import Kind
from reconciler.model.action import Blocked, Converged, InstallRelease, Migrate, RemoveApp, StartInstance, Step
from reconciler.model.desired import App, Desired, Fleet
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.machine import read_host
from reconciler.model.observed import AppliedRoute, HostFacts, ObservedApp, ObservedHost, RouteFile, Slot, Unreachable
from reconciler.model.target import Target
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.traefik_app import traefik_app

DIGEST = "a" * 64
PLENTY = HostFacts(memory_available_kib=4_000_000, cores=2)
ROLLBACK = {"rollout": {"on_failure": "rollback"}}


def app(name: str, hosts: list[str], **more: object) -> App:
    written = {"app": name, "version": "1", "artifact": {"source": "x.tar.gz"}, "hosts": hosts, "ports": [4000, 4001]}
    return App.model_validate({**written, **more})


def site(name: str) -> HostSite:
    return HostSite(name, read_host(name), (8080,))


def targets(*apps: App) -> list[TargetFiles]:
    return [
        resolve(each, site(host), Traefik(), Path(), DIGEST, lambda name: name) for each in apps for host in each.hosts
    ]


def desired_of(*apps: App, hosts: tuple[str, ...] = (), **more: object) -> DesiredFleet:
    """A whole desired state of these apps, which removes what it does not name."""
    wanted = {files.key: files.target for files in targets(*apps)}
    every = tuple(sorted({*hosts, *(host for each in apps for host in each.hosts)}))
    base = DesiredFleet(wanted, {each.app: each for each in apps}, hosts=every, owner="reconcile", prunes=True)
    return replace(base, **more)  # type: ignore[arg-type]


def serving(target: Target, **more: object) -> ObservedApp:
    """The app as it is when the target is converged."""
    identity = target.identity(target.release or "")
    slot = target.slots[0]
    live = Slot(
        slot, prepared=identity, state="active", running=identity, enabled=True, listening=True, healthy=True,
        health="200", memory_kib=100_000, env_keys=target.env_keys,
    )  # fmt: skip
    digest = target.route.digests[slot] if target.route else ""
    base = ObservedApp(
        slots=(live,), releases=(identity.release,), unit=target.unit, owner="reconcile",
        route=RouteFile(slot, digest, intact=True) if target.route else None,
        applied=AppliedRoute(slot, digest) if target.route else None,
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def seen_of(desired: DesiredFleet, converged: set[Key] = frozenset(), **hosts: ObservedHost | Unreachable) -> SeenFleet:  # type: ignore[assignment]
    """Every host was looked at: those apps are converged on it, and nothing else is there."""
    looks: dict[str, ObservedHost | Unreachable] = {host: ObservedHost(host, PLENTY) for host in desired.hosts}
    for name, host in converged:
        look = looks[host]
        assert isinstance(look, ObservedHost)
        looks[host] = look.with_app(name, serving(desired.targets[name, host]))
    return SeenFleet({**looks, **hosts})


def blocked(host: str, name: str, kind: Kind = "action") -> Blocked:
    return Blocked(host, name, "bad", kind=kind)


def why(step: FleetStep) -> str:
    assert isinstance(step, Wait | Blocked)
    return step.reason


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ("1", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("2", [["a"], ["b", "c"], ["d", "e"]]),
        ("50%", [["a"], ["b", "c", "d"], ["e"]]),
        ("100%", [["a"], ["b", "c", "d", "e"]]),
    ],
)
def test_the_first_host_goes_alone_and_the_others_in_batches(batch: str, expected: list[list[str]]) -> None:
    assert groups(list("abcde"), [batch]) == expected


def test_the_first_host_proves_a_version_while_the_others_wait() -> None:
    desired = desired_of(app("hello", ["a", "b", "c"], rollout={"batch": "2"}))

    first = next_steps(desired, seen_of(desired))
    assert isinstance(first["hello", "a"], InstallRelease)
    assert first["hello", "b"] == Wait("b", "hello", "waits for host a: hello is not yet converged on a")
    then = next_steps(desired, seen_of(desired, {("hello", "a")}))
    assert isinstance(then["hello", "a"], Converged)
    assert [type(then["hello", host]) for host in "bc"] == [InstallRelease, InstallRelease]


def test_no_host_follows_one_where_the_version_failed() -> None:
    desired = desired_of(app("hello", ["a", "b", "c"]))
    seen = replace(seen_of(desired, {("hello", "a")}), failed={("hello", "b"): blocked("b", "hello")})

    steps = next_steps(desired, seen)

    expected = Blocked("c", "hello", "waits for host b: hello is not converged on b", kind="waiting")
    assert steps["hello", "c"] == expected


def test_a_host_that_cannot_be_seen_holds_up_no_other() -> None:
    desired = desired_of(app("hello", ["a", "b"]))

    steps = next_steps(desired, seen_of(desired, a=Unreachable("a", "gone")))

    assert isinstance(steps["hello", "a"], Blocked)
    assert isinstance(steps["hello", "b"], InstallRelease)


def test_a_host_that_is_being_looked_at_is_waited_for() -> None:
    """It may be back, and then it goes first."""
    desired = desired_of(app("hello", ["a", "b"]))
    fresh = SeenFleet({"b": ObservedHost("b", PLENTY)}, looking=frozenset({"a"}))
    back = replace(seen_of(desired, a=Unreachable("a", "gone")), looking=frozenset({"a"}))

    assert isinstance(next_steps(desired, fresh)["hello", "b"], Wait)
    assert isinstance(next_steps(desired, back)["hello", "b"], Wait)


def test_what_has_begun_goes_on_whatever_is_seen_elsewhere() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    seen = replace(seen_of(desired), begun=frozenset({("hello", "b")}), looking=frozenset({"b"}))

    assert isinstance(next_steps(desired, seen)["hello", "b"], InstallRelease)


def test_an_app_comes_after_those_it_names_whatever_their_order() -> None:
    hello = app("hello", ["a"], after=["web"], ports=[4002, 4003])
    web, db = app("web", ["a"], after=["zz"], ports=[4004]), app("zz", ["a"])
    desired = desired_of(hello, web, db)

    steps = next_steps(desired, seen_of(desired))
    assert isinstance(steps["zz", "a"], InstallRelease)
    assert why(steps["web", "a"]) == "comes after zz: zz is not yet converged on a"
    assert why(steps["hello", "a"]) == "comes after web: web is not yet converged on a"
    failed = next_steps(desired, replace(seen_of(desired), failed={("zz", "a"): blocked("a", "zz")}))
    assert isinstance(failed["web", "a"], Blocked)
    assert isinstance(failed["hello", "a"], Blocked)


def test_an_app_waits_for_one_that_cannot_be_worked_out() -> None:
    hello = app("hello", ["a"], after=["db"], ports=[4002, 4003])
    desired = desired_of(hello, refused={("db", "a"): blocked("a", "db", "secret")})

    steps = next_steps(desired, seen_of(desired))

    assert why(steps["hello", "a"]) == "comes after db: db is not converged on a"
    assert steps["db", "a"] == blocked("a", "db", "secret")


def test_an_action_under_way_is_its_own_next_step() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    seen = seen_of(desired)
    step = next_steps(desired, seen)["hello", "a"]
    assert isinstance(step, InstallRelease)
    under_way = replace(seen, hosts={**seen.hosts, "a": Unreachable("a", "busy")}, under_way={("hello", "a"): step})

    assert next_steps(desired, under_way)["hello", "a"] is step


def test_a_removal_under_way_is_a_step_although_a_new_host_was_not_looked_at_yet() -> None:
    """Otherwise the engine would take its host for quiet and release the lease in the middle of it."""
    whole = desired_of(app("one", ["a"], ports=[4000]), hosts=("a", "new"), allow_prune=True)
    ours = owned("one", "old")
    key = "old", "a"
    removal = next_steps(whole, SeenFleet({"a": ours, "new": ObservedHost("new")}))[key]
    assert isinstance(removal, RemoveApp)

    assert next_steps(whole, SeenFleet({"a": ours}, under_way={key: removal}))[key] is removal


def test_nothing_is_begun_on_a_host_whose_lease_is_given_back() -> None:
    desired = desired_of(app("hello", ["a"]))
    seen = replace(seen_of(desired), closing=frozenset({"a"}), begun=frozenset({("hello", "a")}))

    assert isinstance(next_steps(desired, seen)["hello", "a"], Wait)


def owned(*names: str, owner: str = "reconcile") -> ObservedHost:
    return ObservedHost("a", PLENTY, apps={name: ObservedApp(owner=owner, releases=("1-x",)) for name in names})


def removed(*apps: App, seen: ObservedHost, failed: tuple[str, ...] = (), **more: object) -> dict[str, str]:
    """The removals on host a: why each may not be yet, "" where it may."""
    desired = desired_of(*apps, hosts=("a",), **more)
    fleet = replace(seen_of(desired, a=seen), failed={(name, "a"): blocked("a", name) for name in failed})
    steps = next_steps(desired, fleet)
    return {
        name: step.reason if isinstance(step, Blocked) else ""
        for (name, _), step in steps.items()
        if name not in desired.apps
    }


def test_what_is_ours_and_no_longer_named_is_removed() -> None:
    three = app("one", ["a"]), app("two", ["a"], ports=[4002]), app("three", ["a"], ports=[4003])

    assert removed(*three, seen=owned("one", "two", "three", "old")) == {"old": ""}
    assert removed(*three, seen=owned("one", "two", "three", "old"), prunes=False) == {}
    assert removed(*three, seen=owned("one", "two", "three", "old"), owner="-") == {}


def test_nothing_is_removed_until_every_host_was_looked_at() -> None:
    desired = desired_of(app("one", ["a"], ports=[4000]), hosts=("a", "b"))
    ours = owned("one", "two", "three", "old")

    assert ("old", "a") not in next_steps(desired, SeenFleet({"a": ours}))
    assert ("old", "a") in next_steps(desired, SeenFleet({"a": ours, "b": ObservedHost("b")}))


def test_apps_of_another_owner_are_left_alone() -> None:
    assert removed(app("one", ["a"]), seen=owned("theirs", owner="other-repository")) == {}


def test_more_than_a_third_at_once_needs_to_be_allowed() -> None:
    waits = removed(app("one", ["a"]), seen=owned("one", "two", "three"))

    assert set(waits) == {"two", "three"}
    assert "2 of 3 apps at once" in waits["two"]
    assert removed(app("one", ["a"]), seen=owned("one", "two", "three"), allow_prune=True) == {"two": "", "three": ""}
    assert too_many_removals(["a"], 3) is None


def test_the_old_name_of_a_renamed_app_is_removed_only_when_the_new_one_serves() -> None:
    new = app("new", ["a"], moved_from="old")
    (files,) = targets(new)

    assert removed(new, seen=owned("new", "old"), failed=("new",)) == {
        "old": "not removed yet: new is not converged on a"
    }
    assert removed(new, seen=owned("old").with_app("new", serving(files.target))) == {"old": ""}


def test_a_host_that_may_still_run_a_removed_app_and_cannot_be_seen_is_reported() -> None:
    """An app moved from b to a, and b is down: that is not converged."""
    desired = desired_of(app("hello", ["a"]), hosts=("a", "b"))
    steps = next_steps(desired, seen_of(desired, {("hello", "a")}, b=Unreachable("b", "no route to host")))

    end = steps["", "b"]
    assert isinstance(end, Blocked)
    assert (end.reason, end.retryable, end.kind) == (
        "no route to host; an app that was removed or moved may still run there",
        True,
        "unreachable",
    )
    assert ("", "b") not in next_steps(desired, seen_of(desired, {("hello", "a")}))


def test_a_release_migrated_from_one_host_is_not_migrated_from_another() -> None:
    hello = app("hello", ["a", "b"], migrate="bin/hello migrate")
    desired = desired_of(hello)
    plans = plan_fleet(desired, seen_of(desired))

    assert [any(isinstance(action, Migrate) for action in plans["hello", host].actions) for host in "ab"] == [
        True,
        False,
    ]


def test_the_first_host_does_not_migrate_again_what_the_second_did_while_it_was_away() -> None:
    hello = app("hello", ["a", "b"], migrate="bin/hello migrate")
    desired = desired_of(hello)
    release = desired.targets["hello", "b"].release or ""
    b = ObservedHost("b", PLENTY).with_app("hello", serving(desired.targets["hello", "b"], migrated=(release,)))
    plans = plan_fleet(desired, seen_of(desired, b=b))

    assert not any(isinstance(action, Migrate) for action in plans["hello", "a"].actions)


TRAEFIK_OF_OURS = Traefik(version="3.7.15", source="traefik.tar.gz")


def behind_traefik(*, route: bool = True) -> DesiredFleet:
    hello = app("hello", ["a"], route={"domains": ["example.com"]} if route else None)
    routed = app("other", ["a"], route={"domains": ["other.example.com"]})
    proxy = traefik_app(Desired(Fleet(traefik=TRAEFIK_OF_OURS), (routed,), None, Path()))
    assert proxy is not None
    return desired_of(hello, proxy)


def test_a_rollout_that_visitors_will_see_waits_for_the_traefik_of_its_host() -> None:
    desired = behind_traefik()
    failed = replace(seen_of(desired), failed={("traefik", "a"): blocked("a", "traefik")})

    assert why(next_steps(desired, seen_of(desired))["hello", "a"]) == "traefik is not yet converged on a"
    assert why(next_steps(desired, failed)["hello", "a"]) == "traefik is not converged on a"
    without = behind_traefik(route=False)
    assert isinstance(next_steps(without, seen_of(without))["hello", "a"], InstallRelease)


def test_putting_drift_back_waits_for_no_other_host_or_app() -> None:
    desired = desired_of(app("hello", ["a", "b"]), hosts=("a", "b"))
    target = desired.targets["hello", "b"]
    stopped = replace(serving(target).slots[0], state="inactive", running=None)
    b = ObservedHost("b", PLENTY).with_app("hello", serving(target, slots=(stopped,)))

    steps = next_steps(desired, seen_of(desired, b=b))

    assert isinstance(steps["hello", "b"], StartInstance)
    assert steps["hello", "b"].drift == "stopped"


def test_traefik_stays_for_as_long_as_a_route_needs_it() -> None:
    """Whoever looks after it from now on; and it does not count among what is removed at once."""
    in_use = ObservedApp(owner="reconcile", releases=("3.7.15-x",), watched=("mine.yml",))
    seen = owned("one", "two", "three").with_app("traefik", in_use)
    apps = app("one", ["a"]), app("two", ["a"], ports=[4002]), app("three", ["a"], ports=[4003])

    assert removed(*apps, seen=seen) == {}
    assert removed(*apps, seen=seen.with_app("traefik", replace(in_use, watched=()))) == {"traefik": ""}


# How much a host takes at once.


def many(count: int) -> list[App]:
    return [app(f"app{i}", ["a"], ports=[4000 + 2 * i, 4001 + 2 * i]) for i in range(count)]


def installed(desired: DesiredFleet, look: ObservedHost, *, memory_kib: int = 100_000) -> ObservedHost:
    """Every app serves version 0, and version 1 is there to be started."""
    for (name, _), target in desired.targets.items():
        before = serving(replace(target, release="0-" + "b" * 12))
        slot = replace(before.slots[0], memory_kib=memory_kib)
        releases = (*before.releases, target.release or "")
        look = look.with_app(name, replace(before, slots=(slot,), releases=releases))
    return look


def starts(steps: dict[Key, FleetStep]) -> list[str]:
    return [name for (name, _), step in steps.items() if isinstance(step, StartInstance)]


@pytest.mark.parametrize(
    ("cores", "written", "expected"), [(0, None, 1), (1, None, 1), (2, None, 2), (64, None, 4), (2, 6, 6)]
)
def test_a_host_starts_so_many_apps_at_once(cores: int, written: int | None, expected: int) -> None:
    desired = desired_of(*many(8), rollouts_at_once={"a": written} if written else {})
    look = installed(desired, ObservedHost("a", replace(PLENTY, cores=cores)))

    steps = next_steps(desired, SeenFleet({"a": look}))

    assert len(starts(steps)) == expected
    others = [step for step in steps.values() if isinstance(step, Wait)]
    assert len(others) == 8 - expected
    assert all(each.for_place for each in others)
    assert others[0].reason.startswith("waits until fewer apps are starting on a (app0")


def test_who_waits_longest_starts_next() -> None:
    desired = desired_of(*many(4), rollouts_at_once={"a": 1})
    look = installed(desired, ObservedHost("a", PLENTY))
    seen = SeenFleet({"a": look}, queue=(("app2", "a"), ("app1", "a")))

    assert starts(next_steps(desired, seen)) == ["app2"]


@pytest.mark.parametrize(("verb", "holds"), [("start", True), ("wait", True), ("enable", False), ("stop", False)])
def test_only_what_is_starting_holds_a_place(verb: str, holds: bool) -> None:
    desired = desired_of(*many(2), rollouts_at_once={"a": 1})
    look = installed(desired, ObservedHost("a", PLENTY))
    plans = plan_fleet(desired, SeenFleet({"a": look}))
    (action,) = [each for each in plans["app0", "a"].actions if each.verb == verb]
    seen = SeenFleet({"a": look}, under_way={("app0", "a"): action})

    assert isinstance(next_steps(desired, seen)["app1", "a"], Wait) is holds


def test_memory_of_what_is_starting_is_promised_and_no_app_goes_down_for_want_of_it() -> None:
    """Ten apps of 300 MiB each see the same 500 MiB: one after the other starts beside what serves."""
    desired = desired_of(*many(10), rollouts_at_once={"a": 10})
    facts = HostFacts(memory_available_kib=500 * 1024, cores=8)
    look = installed(desired, ObservedHost("a", facts), memory_kib=300 * 1024)

    steps = next_steps(desired, SeenFleet({"a": look}))

    assert starts(steps) == ["app0"]
    assert why(steps["app1", "a"]) == "waits for the memory that app0 may need"
    plans = plan_fleet(desired, SeenFleet({"a": look}))
    assert all(isinstance(plan.end, Converged) for plan in plans.values())
    assert not [a for plan in plans.values() for a in plan.actions if "stop-first" in a.reason]


def test_what_has_stopped_comes_back_without_waiting_for_a_place() -> None:
    desired = desired_of(*many(3), rollouts_at_once={"a": 1})
    look = installed(desired, ObservedHost("a", PLENTY))
    target = desired.targets["app2", "a"]
    down = replace(serving(target).slots[0], state="failed", running=None)
    look = look.with_app("app2", serving(target, slots=(down,)))

    assert starts(next_steps(desired, SeenFleet({"a": look}))) == ["app0", "app2"]


def test_the_plan_shows_what_waits_for_what() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    plans = plan_fleet(desired, seen_of(desired))

    assert plans["hello", "a"].waits == ()
    assert plans["hello", "b"].waits == ("waits for host a: hello is not yet converged on a",)
    assert all(isinstance(plan.end, Converged) for plan in plans.values())


def test_a_mistake_about_one_app_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(target: Target, seen: ObservedHost) -> Converged:
        if target.app == "mistaken":
            raise ValueError("s3cret")
        return Converged(target.host, target.app, "1", "4000")

    monkeypatch.setattr("reconciler.decide.fleet.next_action", mistaken)
    desired = desired_of(app("mistaken", ["a"]), app("sound", ["a"], ports=[4002]))

    steps = next_steps(desired, seen_of(desired))

    end = steps["mistaken", "a"]
    assert isinstance(end, Blocked)
    assert (end.kind, end.retryable) == ("unexpected", True)
    assert "ValueError at reconciler/decide/fleet.py:" in end.reason
    assert "s3cret" not in repr(end)
    assert isinstance(steps["sound", "a"], Converged)


# What the policy `on_failure: rollback` rolls back.


def good(host: str) -> Converged:
    return Converged(host, "hello", "2", "4001")


def bad(host: str, kind: Kind = "quarantined") -> Blocked:
    return Blocked(host, "hello", "version 2 failed here: it exited 2 times", kind=kind)


def test_hosts_that_have_the_version_go_back_when_it_failed_on_another() -> None:
    hello = app("hello", ["a", "b", "c"], **ROLLBACK)
    found = failures([hello], [good("a"), bad("b"), bad("c", "waiting")])

    assert found == [Failure(hello, "b", ("a",))]
    assert found[0].reason == "rolled back, since it failed on host b"


def test_without_the_policy_a_failure_only_stops_the_rest() -> None:
    assert failures([app("hello", ["a", "b"])], [good("a"), bad("b")]) == []


def test_a_temporary_failure_does_not_roll_the_fleet_back() -> None:
    """A dead host, a taken port: the version did not fail."""
    hello = app("hello", ["a", "b", "c"], **ROLLBACK)

    assert failures([hello], [good("a"), bad("b", "unreachable"), bad("c", "port_taken")]) == []


def test_where_the_version_has_reached_no_host_there_is_nothing_to_take_back() -> None:
    hello = app("hello", ["a", "b"], **ROLLBACK)

    assert failures([hello], [bad("a"), bad("b", "waiting")]) == []


# Two desired states that name the same app.


@pytest.mark.parametrize(
    ("owner", "ours", "refused"),
    [
        (None, "repository-a", False),
        ("repository-a", "repository-a", False),
        ("repository-a", "repository-b", True),
        ("remote-a", "remote-b", True),
        ("team-a", "team-b", True),
        ("repository-a", "-", False),
        ("folder-a", "folder-b", False),  # it was moved, or belongs to a colleague's machine
        ("folder-a", "repository-a", False),  # git init
        ("repository-a", "team-a", False),  # owner: was added to fleet.yaml
        ("remote-a", "repository-a", False),  # --repo here, a clone there
    ],
)
def test_an_app_of_another_repository_is_not_taken_over(owner: str | None, ours: str, refused: bool) -> None:
    desired = desired_of(app("hello", ["a"]), owner=ours)
    theirs = serving(replace(desired.targets["hello", "a"], release="0-" + "b" * 12), owner=owner)
    seen = seen_of(desired, a=ObservedHost("a", PLENTY).with_app("hello", theirs))

    step = next_steps(desired, seen)["hello", "a"]

    assert isinstance(step, Blocked) is refused
    if isinstance(step, Blocked):
        assert step.kind == "foreign"
        assert step.reason.startswith(f"it belongs to another desired state ({owner}); it would ")
        assert step.next_step == "remove it there first, or take it over: reconcile adopt hello"


def test_the_next_decision_asks_only_about_hosts_that_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is the same decision as without the answers of the former one."""
    desired = desired_of(app("hello", ["a", "b", "c"]), app("web", ["a", "b", "c"], ports=[4002, 4003]))
    seen, answers = seen_of(desired), Answers()
    next_steps(desired, seen, answers)
    asked: list[Key] = []

    def note(target: Target, look: ObservedHost | Unreachable) -> Step:
        asked.append((target.app, target.host))
        return next_action(target, look)

    monkeypatch.setattr("reconciler.decide.fleet.next_action", note)
    seen = replace(seen, hosts={**seen.hosts, "b": Unreachable("b", "gone")}, behind={("web", "c"): "older"})

    steps = next_steps(desired, seen, answers)

    assert asked == [("hello", "b"), ("web", "b"), ("web", "c")]
    assert steps == next_steps(desired, seen)
