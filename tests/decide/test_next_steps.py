"""What `next_steps` answers while hosts are looked at, actions are under way, and the desired state changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.decide.fleet import Answers, failures, next_steps
from reconciler.decide.guards import too_many_removals
from reconciler.decide.order import FleetStep
from reconciler.model.action import AnyAction, Blocked, Converged, InstallRelease, Migrate, StartInstance
from reconciler.model.fleet import DesiredFleet, SeenFleet, Wait
from reconciler.model.observed import HostFacts, ObservedApp, ObservedHost, Unreachable
from tests.decide.test_fleet import (
    PLENTY,
    ROLLBACK,
    app,
    bad,
    blocked,
    desired_of,
    good,
    installed,
    many,
    seen_of,
    serving,
    starts,
)

LOOKING = Wait("a", "hello", "the host is being looked at")


def test_before_the_first_look_at_its_host_an_app_waits() -> None:
    desired = desired_of(app("hello", ["a"]))

    assert next_steps(desired, SeenFleet()) == {("hello", "a"): LOOKING}


def test_nothing_is_begun_while_its_host_is_looked_at_again() -> None:
    desired = desired_of(app("hello", ["a"]))
    seen = replace(seen_of(desired), looking=frozenset({"a"}))

    assert next_steps(desired, seen) == {("hello", "a"): LOOKING}


def test_what_is_at_rest_stays_so_while_its_host_is_looked_at_again() -> None:
    """Otherwise what comes after it would wait at every look."""
    desired = desired_of(app("hello", ["a"]))
    suspended = seen_of(desired).hosts["a"].with_app("hello", ObservedApp(suspended="by ann: freeze"))  # type: ignore[union-attr]
    looking = frozenset({"a"})

    done = next_steps(desired, replace(seen_of(desired, {("hello", "a")}), looking=looking))
    stuck = next_steps(desired, replace(seen_of(desired, a=suspended), looking=looking))

    assert done == {("hello", "a"): Converged("a", "hello", "1", "4000")}
    assert isinstance(stuck["hello", "a"], Blocked)


def test_an_app_that_cannot_be_worked_out_says_why_although_an_action_of_before_still_runs() -> None:
    key = "hello", "a"
    before = desired_of(app("hello", ["a"]))
    action = next_steps(before, seen_of(before))[key]
    assert isinstance(action, InstallRelease)
    refused = desired_of(hosts=("a",), refused={key: blocked("a", "hello", "secret")})

    steps = next_steps(refused, replace(seen_of(refused), under_way={key: action}))

    assert steps == {key: blocked("a", "hello", "secret")}


def test_a_start_under_way_counts_although_its_app_is_not_named_any_more() -> None:
    """It needs its place and its memory until it ends; only then is the app removed."""
    desired = desired_of(*many(4), rollouts_at_once={"a": 2})
    look = installed(desired, ObservedHost("a", HostFacts(memory_available_kib=500 * 1024)), memory_kib=300 * 1024)
    start = next_steps(desired, SeenFleet({"a": look}))["app0", "a"]
    assert isinstance(start, StartInstance)
    rest = desired_of(*many(4)[1:], rollouts_at_once={"a": 2})

    steps = next_steps(rest, SeenFleet({"a": look}, under_way={("app0", "a"): start}))

    assert starts(steps) == ["app0"]
    assert steps["app1", "a"] == Wait("a", "app1", "waits for the memory that app0 may need", for_place=True)


def test_an_answer_is_given_again_only_about_the_same_target_and_the_same_look() -> None:
    """Each of these differs from the one before in one thing, which changes the answer."""
    key, answers = ("hello", "a"), Answers()
    hello = app("hello", ["a"], migrate="bin/migrate")
    one, two = desired_of(hello), desired_of(hello.model_copy(update={"version": "2"}))
    empty, done = seen_of(one), seen_of(one, {key})
    moments = [
        (one, empty),
        (one, done),
        (two, done),
        (two, replace(done, behind={key: "git is behind"})),
        (replace(two, owner="repository-a"), done),
    ]

    for desired, seen in moments:
        assert next_steps(desired, seen, answers) == next_steps(desired, seen)
    steps = [next_steps(desired, seen)[key] for desired, seen in moments]
    assert all(one != other for one, other in pairwise(steps))


def migrated_from_b() -> tuple[DesiredFleet, SeenFleet, SeenFleet]:
    """While host a was lost, the rollout began on b, which is about to migrate; then a is back."""
    desired = desired_of(app("hello", ["a", "b"], migrate="bin/migrate"))
    b = ObservedHost("b", PLENTY).with_app(
        "hello", ObservedApp(releases=(desired.targets["hello", "b"].release or "",))
    )
    alone = SeenFleet({"a": Unreachable("a", "no route"), "b": b}, begun=frozenset({("hello", "b")}))
    return desired, alone, replace(alone, hosts={"a": ObservedHost("a", PLENTY), "b": b})


def test_nothing_starts_before_the_migration_although_the_host_that_migrates_has_changed() -> None:
    desired, alone, back = migrated_from_b()
    answers = Answers()

    first = next_steps(desired, alone, answers)["hello", "b"]
    then = next_steps(desired, back, answers)["hello", "b"]

    assert isinstance(first, Migrate)
    assert then == Wait("b", "hello", "waits for the migration from host a")
    migrated = back.hosts["a"].with_app("hello", ObservedApp(migrated=(first.identity.release,)))  # type: ignore[union-attr]
    assert isinstance(next_steps(desired, back.with_host(migrated), answers)["hello", "b"], StartInstance)


def test_a_migration_under_way_is_the_only_one() -> None:
    """Host a comes first, but b migrates already: a waits for it."""
    desired, alone, back = migrated_from_b()
    migration = next_steps(desired, alone)["hello", "b"]
    assert isinstance(migration, Migrate)
    a = ObservedHost("a", PLENTY).with_app("hello", ObservedApp(releases=(migration.identity.release,)))
    seen = replace(back.with_host(a), under_way={("hello", "b"): migration})

    steps = next_steps(desired, seen)

    assert steps["hello", "b"] is migration
    assert steps["hello", "a"] == Wait("a", "hello", "waits for the migration from host b")


def test_a_release_that_served_before_it_had_a_migration_holds_up_no_other_host() -> None:
    """`migrate` and host b were added at the same version: a has nothing to do, and so will never migrate."""
    desired, _, back = migrated_from_b()
    a = ObservedHost("a", PLENTY).with_app("hello", serving(desired.targets["hello", "a"]))

    steps = next_steps(desired, back.with_host(a))

    assert isinstance(steps["hello", "a"], Converged)
    assert isinstance(steps["hello", "b"], StartInstance)


def test_a_start_under_way_goes_on_although_a_host_that_would_migrate_is_back() -> None:
    """That host knows of no migration, and the one that has migrated is lost."""
    desired, _, back = migrated_from_b()
    start = StartInstance("a", "hello", "first start", "4000", desired.targets["hello", "b"].identity("1-x"))

    assert next_steps(desired, replace(back, under_way={("hello", "b"): start}))["hello", "b"] is start


def test_a_first_start_without_a_migration_waits_for_none() -> None:
    desired, _, back = migrated_from_b()
    targets = {key: replace(target, migrates=False) for key, target in desired.targets.items()}

    assert isinstance(next_steps(replace(desired, targets=targets), back)["hello", "b"], StartInstance)


def test_a_migrated_release_starts_although_its_artifact_is_gone() -> None:
    """The host that has migrated it waits for nobody."""
    desired, _, back = migrated_from_b()
    target = desired.targets["hello", "a"]
    release = target.release or ""
    unknown = {key: replace(each, release=None) for key, each in desired.targets.items()}
    a = ObservedHost("a", PLENTY).with_app("hello", ObservedApp(releases=(release,), migrated=(release,)))

    steps = next_steps(replace(desired, targets=unknown), back.with_host(a))

    assert isinstance(steps["hello", "a"], StartInstance)


def test_the_first_action_goes_on_although_a_host_that_comes_before_is_back() -> None:
    desired = desired_of(app("hello", ["a", "b"]))
    install = InstallRelease("b", "hello", "not on the host", desired.targets["hello", "b"].release or "")

    assert next_steps(desired, replace(seen_of(desired), under_way={("hello", "b"): install}))["hello", "b"] is install


def test_a_bug_met_with_one_app_is_reported_about_that_app(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(target: object, seen: object) -> Converged:
        raise ValueError("s3cret")

    monkeypatch.setattr("reconciler.decide.fleet.next_action", mistaken)
    desired = desired_of(app("hello", ["a"]))

    end = next_steps(desired, seen_of(desired))["hello", "a"]

    assert isinstance(end, Blocked)
    assert (end.host, end.app, end.kind, end.retryable) == ("a", "hello", "unexpected", True)
    assert end.next_step and "s3cret" not in end.reason + end.next_step


def test_a_release_that_was_migrated_for_another_database_is_migrated_again() -> None:
    """Host a remembers the release alone; with `migrate_when`, its name has the database in it."""
    desired, _, back = migrated_from_b()
    target = replace(desired.targets["hello", "a"], migrate_when=("DATABASE_URL",), migrate_env="d2")
    release = target.release or ""
    fleet = replace(desired, targets={key: replace(target, host=key[1]) for key in desired.targets})

    def step(*migrated: str) -> FleetStep:
        a = ObservedHost("a", PLENTY).with_app("hello", ObservedApp(releases=(release,), migrated=migrated))
        return next_steps(fleet, back.with_host(a))["hello", "b"]

    assert step(release) == step(f"{release}@d1") == Wait("b", "hello", "waits for the migration from host a")
    assert isinstance(step(f"{release}@d2"), StartInstance)


def test_what_served_the_release_comes_back_without_waiting_for_a_migration() -> None:
    """Nothing on any host says that it was migrated; visitors must not wait until that is found out."""
    desired, _, back = migrated_from_b()
    target = desired.targets["hello", "b"]
    down = replace(serving(target).slots[0], state="failed", running=None)
    b = ObservedHost("b", PLENTY).with_app("hello", serving(target, slots=(down,)))

    step = next_steps(desired, back.with_host(b))["hello", "b"]

    assert isinstance(step, StartInstance)
    assert step.drift == "failed"


def test_each_host_gets_the_release_for_its_processor() -> None:
    """So a host that has that one has nothing to roll out: to start it again waits for no other host."""
    desired = desired_of(app("hello", ["a", "b", "c"]))
    arm = {key: replace(target, release="1-" + "c" * 12) for key, target in desired.targets.items()}
    fleet = replace(
        desired, targets={key: replace(target, by_arch={"arm64": arm[key]}) for key, target in desired.targets.items()}
    )
    b = ObservedHost("b", replace(PLENTY, arch="arm64"))
    down = replace(serving(arm["hello", "b"]).slots[0], state="failed", running=None)
    serves = b.with_app("hello", serving(arm["hello", "b"], slots=(down,)))
    seen = seen_of(fleet, a=ObservedHost("a", replace(PLENTY, arch="amd64")), c=Unreachable("c", "no route"))

    first = next_steps(fleet, replace(seen.with_host(b), begun=frozenset({("hello", "b")})))
    then = next_steps(fleet, seen.with_host(serves))

    assert first["hello", "a"] == InstallRelease("a", "hello", "not on the host", "1-" + "a" * 12)
    assert first["hello", "b"] == InstallRelease("b", "hello", "not on the host", "1-" + "c" * 12)
    assert isinstance(first["hello", "c"], Blocked)
    assert isinstance(then["hello", "b"], StartInstance)


def test_a_desired_state_older_than_the_host_changes_nothing_and_says_what_to_do() -> None:
    desired = desired_of(app("hello", ["a"]))
    old = serving(replace(desired.targets["hello", "a"], release="0-" + "b" * 12))
    look = ObservedHost("a", PLENTY).with_app("hello", old)
    why = "the host has commit c2, which comes after c1"

    steps = next_steps(desired, SeenFleet({"a": look}, behind={("hello", "a"): why}))

    assert steps["hello", "a"] == Blocked(
        "a",
        "hello",
        f"{why}; it would install: not on the host",
        "git pull; to go back make a new commit (git revert), or pass --allow-step-back",
        "0",
        kind="step_back",
    )


# Failures and removals.


def test_what_other_apps_did_and_what_was_removed_is_no_reason_to_roll_back() -> None:
    hello, other = app("hello", ["a", "b", "c"], **ROLLBACK), Converged("c", "other", "1", "4002")

    assert failures([hello], [Converged("a", "hello", "", ""), bad("b"), other]) == []
    assert failures([hello], [good("a"), Blocked("b", "other", "it failed", kind="quarantined")]) == []


@pytest.mark.parametrize(
    ("count", "apps_seen", "named"),
    [
        (0, 0, None),
        (2, 6, None),
        (2, 5, "a, b"),
        (5, 6, "a, b, c, d, e"),
        (6, 6, "a, b, c, d, e and more"),
        (7, 9, "a, b, c, d, e and more"),
    ],
)
def test_the_refusal_to_remove_more_than_a_third_names_some_of_them(
    count: int, apps_seen: int, named: str | None
) -> None:
    expected = named and (
        f"removing {count} of {apps_seen} apps at once ({named}) is more than a third; --allow-prune allows it"
    )

    assert too_many_removals(list("abcdefg")[:count], apps_seen) == expected


def test_an_app_whose_action_has_failed_says_so_until_the_next_look() -> None:
    desired = desired_of(app("hello", ["a"]))
    seen = replace(seen_of(desired, {("hello", "a")}), failed={("hello", "a"): blocked("a", "hello")})
    action: AnyAction = InstallRelease("a", "hello", "", "1-x")

    assert next_steps(desired, seen)["hello", "a"] == blocked("a", "hello")
    assert next_steps(desired, replace(seen, under_way={("hello", "a"): action}))["hello", "a"] is action
