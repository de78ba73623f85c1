"""The hooks around a rollout: which host runs them, when, and what is said of one that failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.case import Case
from reconciler.decide.hooks import after_all_hosts, after_rollout, once_per_rollout
from reconciler.model.action import (
    Blocked,
    Converged,
    Cutover,
    GoBack,
    InstallRelease,
    Migrate,
    RejectRelease,
    RunHook,
    StartInstance,
    Step,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import HookMark, HookName, ObservedApp, ObservedHost, Quarantine, Slot, Unreachable
from reconciler.model.target import Target
from tests.decide.test_fleet import app, desired_of, seen_of
from tests.decide.test_rollout import APP, LIVE, R1, V1, V2, WHERE, step_of
from tests.support.world import wanted

HOOKS: dict[str, object] = {"after_rollout": "bin/warm", "on_failure": "bin/tell"}
BOTH: tuple[HookName, ...] = ("after_rollout", "on_failure")
TARGET = replace(wanted("1"), hooks=BOTH)
NEXT = replace(wanted("2"), hooks=BOTH)
HELLO = app("hello", ["a", "b", "c"], **HOOKS)
A, B, C = (("hello", host) for host in "abc")


def with_mark(hook: HookName, state: Any, reason: str | None = None, **more: Any) -> ObservedApp:
    identity = V1 if hook == "after_rollout" else V2
    return replace(APP, hook=HookMark(hook, identity, state, reason), **more)


# One host.


@pytest.mark.parametrize(
    ("target", "app_seen"),
    [
        (wanted("1"), with_mark("after_rollout", "due")),  # it was taken out of the desired state
        (TARGET, with_mark("after_rollout", "done")),
        (TARGET, replace(APP, hook=HookMark("after_rollout", V2, "due"))),  # of another version
        (TARGET, replace(APP, hook=HookMark("on_failure", V1, "due"))),
        (TARGET, APP),
    ],
)
def test_a_hook_that_is_not_due_is_not_run(target: Target, app_seen: ObservedApp) -> None:
    assert step_of(app_seen, target) == Converged(*WHERE, "1", "4000")


@pytest.mark.parametrize(("each_host", "why"), [((), "once per rollout"), (BOTH, "once on each host")])
@pytest.mark.parametrize("state", ["due", "begun"])
def test_after_rollout_that_is_due_runs_when_nothing_else_is_left_to_do(
    state: str, each_host: tuple[HookName, ...], why: str
) -> None:
    step = step_of(with_mark("after_rollout", state), replace(TARGET, hooks_each_host=each_host))

    assert step == RunHook(*WHERE, why, "after_rollout", V1, otherwise=Converged(*WHERE, "1", "4000"))


@pytest.mark.parametrize(("reason", "words"), [("it exited 3", "it exited 3"), (None, "no reason given")])
def test_after_rollout_that_failed_is_a_note_and_an_error_only_right_after_it(reason: str | None, words: str) -> None:
    failed = with_mark("after_rollout", "failed", reason)
    said = ("warming up", "no such table")
    now = replace(failed, hook_failed=True).with_slot(Slot("4001", log_tail=said))
    how = "journalctl -u hello-hook; run it by hand if it matters: it runs again at the next rollout only"

    assert step_of(failed, TARGET) == replace(
        Converged(*WHERE, "1", "4000"), note=f"after_rollout failed: {words}", next_step=how
    )
    end = step_of(now, TARGET)
    assert isinstance(end, Blocked)
    assert (end.kind, end.reason, end.next_step, end.log_tail) == (
        "hook", f"version 1 runs, but after_rollout failed: {words}", how, said,
    )  # fmt: skip
    silent = step_of(replace(failed, hook_failed=True), TARGET)
    assert isinstance(silent, Blocked)
    assert silent.log_tail == ()


def test_a_hook_that_failed_is_said_behind_what_else_there_is_to_note() -> None:
    zone = "job nightly runs by the clock of the host"
    rest = Converged(*WHERE, "1", "4000", note=zone, next_step="write the zone")
    seen = with_mark("after_rollout", "failed", "it exited 3")
    case = Case(TARGET, ObservedHost("a", apps={"hello": seen}), seen, LIVE, LIVE, V1)

    end = after_rollout(case, rest)

    assert isinstance(end, Converged)
    assert end.note == f"{zone}; after_rollout failed: it exited 3"
    assert (end.next_step or "").startswith("write the zone; journalctl -u hello-hook")


def test_a_hook_that_failed_earlier_is_not_said_in_place_of_what_is_wrong_now() -> None:
    seen = with_mark("after_rollout", "failed", "it exited 3")
    stuck = Blocked(*WHERE, "the timer of a job does not run", kind="drift")

    assert after_rollout(Case(TARGET, ObservedHost("a", apps={"hello": seen}), seen, LIVE, LIVE, V1), stuck) == stuck


def rejected(mark: HookMark | None, *releases: str) -> ObservedApp:
    entry = Quarantine(V2, "never healthy", 0, NEXT.attempt)
    return replace(APP, quarantined=(entry,), hook=mark, releases=releases or (V2.release, R1))


@pytest.mark.parametrize("state", ["due", "begun"])
def test_on_failure_runs_with_the_version_that_failed(state: Any) -> None:
    step = step_of(rejected(HookMark("on_failure", V2, state)), NEXT)

    assert step == RunHook(*WHERE, "never healthy", "on_failure", V2)


@pytest.mark.parametrize(
    ("mark", "target", "releases"),
    [
        (HookMark("on_failure", V1, "due"), NEXT, ()),  # of an earlier failure
        (HookMark("after_rollout", V2, "due"), NEXT, ()),
        (HookMark("on_failure", V2, "done"), NEXT, ()),
        (HookMark("on_failure", V2, "due"), replace(NEXT, hooks=()), ()),
        (HookMark("on_failure", V2, "due"), NEXT, (R1,)),  # what it would run with is not here any more
        (None, NEXT, ()),
    ],
)
def test_on_failure_that_is_not_due_leaves_the_reason_of_the_failure(
    mark: HookMark | None, target: Target, releases: tuple[str, ...]
) -> None:
    step = step_of(rejected(mark, *releases), target)

    assert isinstance(step, Blocked)
    assert (step.kind, step.reason) == ("quarantined", "version 2 failed here: never healthy")


@pytest.mark.parametrize(("reason", "words"), [("it exited 1", "it exited 1"), (None, "no reason given")])
def test_an_on_failure_that_failed_is_added_to_why_the_version_did(reason: str | None, words: str) -> None:
    step = step_of(rejected(HookMark("on_failure", V2, "failed", reason)), NEXT)

    assert isinstance(step, Blocked)
    assert step.reason == f"version 2 failed here: never healthy; on_failure did not work either: {words}"


# The fleet: which host it is.


def start(host: str, mark: Any = "due") -> StartInstance:
    return StartInstance(host, "hello", "new", "4001", V2, hook=mark)


def fails(kind: str, host: str, mark: Any = "due") -> Step:
    if kind == "migrate":
        return Migrate(host, "hello", "new", V2, hook=mark)
    if kind == "goback":
        return GoBack(host, "hello", "bad", "4000", "i1", V2, "bad", "4001", hook=mark)
    return RejectRelease(host, "hello", "bad", "4001", V2, "bad", hook=mark)


def marks(desired: DesiredFleet, seen: SeenFleet, *steps: Any) -> list[str]:
    found = once_per_rollout(desired, seen, {(step.app, step.host): step for step in steps})
    return [step.hook for step in found.values() if not isinstance(step, Cutover | Converged)]  # type: ignore[union-attr]


def marked(desired: DesiredFleet, key: Key, hook: HookName, identity: Any = None) -> SeenFleet:
    """Every host is converged, and one has the mark of a hook."""
    seen = seen_of(desired, set(desired.targets))
    look, target = seen.host(key[1]), desired.targets[key]
    assert look is not None and target.release is not None
    mark = HookMark(hook, identity or target.identity(target.release), "due")
    return seen.with_host(look.with_app(key[0], replace(look.app(key[0]), hook=mark)))


def test_the_first_host_that_begins_a_rollout_runs_after_rollout_for_all() -> None:
    desired = desired_of(HELLO)
    seen = seen_of(desired, set(desired.targets))

    assert marks(desired, seen, start("a"), start("b"), start("c")) == ["due", "none", "none"]
    assert marks(desired, seen, Converged("a", "hello", "1", "4000"), start("b"), start("c")) == ["due", "none"]
    assert marks(desired, seen, start("a", "keep"), start("b"), start("c")) == ["keep", "due", "none"]


@pytest.mark.parametrize("kind", ["migrate", "goback", "reject"])
def test_the_first_host_where_it_fails_runs_on_failure_for_all(kind: str) -> None:
    desired = desired_of(HELLO)
    seen = seen_of(desired, set(desired.targets))

    assert marks(desired, seen, fails(kind, "a"), fails(kind, "b")) == ["due", "none"]
    assert marks(desired, seen, fails(kind, "a", "none"), fails(kind, "b"), fails(kind, "c")) == ["none", "due", "none"]
    assert marks(desired, seen, start("a"), fails(kind, "b")) == ["due", "due"], "each hook has a host of its own"


@pytest.mark.parametrize("hooks", [{"after_rollout": "bin/warm"}, {"on_failure": "bin/tell"}])
def test_either_hook_alone_runs_on_one_host(hooks: dict[str, object]) -> None:
    desired = desired_of(app("hello", ["a", "b"], **hooks))
    seen = seen_of(desired, set(desired.targets))
    both = (start("a"), start("b")) if "after_rollout" in hooks else (fails("reject", "a"), fails("reject", "b"))

    assert marks(desired, seen, *both) == ["due", "none"]


def test_a_hook_of_each_host_is_due_on_each() -> None:
    desired = desired_of(HELLO)
    each = {key: replace(target, hooks_each_host=BOTH) for key, target in desired.targets.items()}
    seen = seen_of(desired, set(desired.targets))

    assert marks(replace(desired, targets=each), seen, start("a"), start("b")) == ["due", "due"]


def test_a_host_that_has_the_mark_of_this_rollout_runs_it_and_no_other() -> None:
    desired = desired_of(HELLO)
    of_this, of_another = marked(desired, B, "after_rollout"), marked(desired, B, "after_rollout", V2)

    assert marks(desired, of_this, start("a"), start("c")) == ["none", "none"]
    assert marks(desired, of_another, start("a"), start("c")) == ["due", "none"]
    assert marks(desired, marked(desired, B, "on_failure"), start("a"), start("c")) == ["due", "none"]
    assert marks(desired, marked(desired, B, "on_failure"), fails("reject", "a")) == ["none"]


def test_what_is_under_way_gives_its_host_the_hook_and_is_not_changed() -> None:
    desired = desired_of(HELLO)
    seen = replace(seen_of(desired, set(desired.targets)), under_way={B: start("b")})

    assert marks(desired, seen, start("a"), start("b"), start("c")) == ["none", "due", "none"]
    both = replace(seen, under_way={A: start("a"), B: start("b")})
    assert marks(desired, both, start("a"), start("b"), start("c")) == ["due", "due", "none"]
    failing = replace(seen, under_way={B: Migrate("b", "hello", "new", V2, hook="due")})
    assert marks(desired, failing, fails("reject", "a"), start("c")) == ["none", "due"]


def test_a_host_that_cannot_be_seen_has_no_hook_to_wait_for() -> None:
    desired = desired_of(HELLO)
    seen = seen_of(desired, {B, C}, a=Unreachable("a", "no answer"))

    assert marks(desired, seen, start("b"), start("c")) == ["due", "none"]


def test_a_host_whose_app_cannot_be_worked_out_keeps_its_mark_to_itself() -> None:
    desired = desired_of(HELLO)
    seen = marked(desired, B, "after_rollout")
    without = replace(desired, targets={key: target for key, target in desired.targets.items() if key != B})

    assert marks(without, seen, start("a"), start("c")) == ["due", "none"]


# The fleet: when it runs.


def due(host: str = "a", otherwise: Any = None) -> RunHook:
    done = otherwise or Converged(host, "hello", "1", "4000")
    return RunHook(host, "hello", "once per rollout", "after_rollout", V1, otherwise=done)


def held_back(*steps: Any, seen: SeenFleet | None = None) -> dict[Key, Any]:
    desired = desired_of(HELLO, app("other", ["a"]))
    seen = seen or seen_of(desired, set(desired.targets))
    return dict(after_all_hosts(desired, seen, {(step.app, step.host): step for step in steps}))


def test_after_rollout_waits_until_every_host_has_the_version() -> None:
    working = InstallRelease("b", "hello", "new", R1)

    assert held_back(due(), working)[A] == Wait("a", "hello", "after_rollout waits for hello on b")
    assert held_back(due(), Converged("b", "hello", "1", "4000"), InstallRelease("a", "other", "new", R1))[A] == due()


def test_a_version_that_is_stuck_elsewhere_leaves_the_hook_due_and_nobody_waiting() -> None:
    stuck = Blocked("c", "hello", "no room", kind="action")

    assert held_back(due(), InstallRelease("b", "hello", "new", R1), stuck)[A] == Converged("a", "hello", "1", "4000")


def test_a_hook_without_anything_else_to_answer_waits_for_what_is_stuck() -> None:
    stuck = Blocked("b", "hello", "no room", kind="action")

    assert held_back(replace(due(), otherwise=None), stuck)[A] == Wait(
        "a", "hello", "after_rollout waits for hello on b"
    )


def test_a_host_that_is_gone_is_not_waited_for() -> None:
    desired = desired_of(HELLO)
    seen = seen_of(desired, {A, C}, b=Unreachable("b", "no answer"))
    lost = Blocked("b", "hello", "no answer", kind="unreachable")

    assert held_back(due(), lost, seen=seen)[A] == due()


def test_a_hook_under_way_is_not_called_back_and_others_are_looked_at() -> None:
    """Also on_failure, which waits for no other host."""
    desired = desired_of(HELLO)
    seen = replace(seen_of(desired, set(desired.targets)), under_way={A: due()})
    working = InstallRelease("b", "hello", "new", R1)
    tells = RunHook("c", "hello", "bad", "on_failure", V2)

    found = held_back(due(), working, tells, seen=seen)
    assert (found[A], found[C]) == (due(), tells)
    later = held_back(tells, working, due("a"))
    assert (later[C], later[A]) == (tells, Wait("a", "hello", "after_rollout waits for hello on b"))
