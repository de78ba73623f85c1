"""The engine: one opinion of the fleet, whatever happens at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.apply.applier import Applier
from reconciler.decide.fleet import Failure
from reconciler.engine.converge import converge
from reconciler.engine.rollback import Rollback
from reconciler.errors import ActionFailed, HostUnreachable
from reconciler.model.action import Blocked, Converged, InstallRelease, WaitHealthy
from reconciler.model.desired import App, Desired, Fleet
from reconciler.model.machine import HostSpec
from reconciler.model.observed import Lease, ObservedHost, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.traefik import Traefik
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.processes import with_processes
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from tests.decide.test_fleet import app
from tests.support.stepping import PLENTY, QUIET, WHO, Stepping, ends, engine_of, opened, stepping

__all__ = ["stepping"]
ROLLOUT = ["install", "start", "wait", "enable"]


def many(count: int, **more: object) -> list[App]:
    return [app(f"app{i:02}", ["a"], ports=[4000 + 2 * i, 4001 + 2 * i], **more) for i in range(count)]


async def settled(engine: object, work: asyncio.Task[None]) -> None:
    while not work.done() and engine.turns.open:  # type: ignore[attr-defined]
        await asyncio.sleep(0.005)


def test_twenty_apps_on_one_host_are_all_rolled_out_and_few_start_at_once(stepping: Stepping) -> None:
    stepping.slow = lambda action: 0.002

    outcomes = asyncio.run(converge(opened(*many(20)), QUIET, WHO))

    assert set(ends(outcomes).values()) == {"1"}
    assert all(stepping.verbs(f"app{i:02}") == ROLLOUT for i in range(20))
    assert stepping.looks == {"a": 1}
    assert stepping.closed[-1] == ("a", stepping.closed[-1][1], False)
    assert sorted(name for _, names, _ in stepping.closed for name in names) == [f"app{i:02}" for i in range(20)]


def test_a_second_pass_is_quiet(stepping: Stepping) -> None:
    asyncio.run(converge(opened(*many(3)), QUIET, WHO))
    stepping.done.clear()
    stepping.closed.clear()

    outcomes = asyncio.run(converge(opened(*many(3)), QUIET, WHO))

    assert set(ends(outcomes).values()) == {"1"}
    assert (stepping.done, stepping.closed, stepping.looks) == ([], [], {"a": 2})


def test_a_failing_app_and_a_dead_host_delay_no_other(stepping: Stepping) -> None:
    stepping.hosts["dead"] = Unreachable("dead", "no route to host")
    stepping.fails = lambda action: ActionFailed("a", "disk full") if action.app == "app00" else None
    everywhere = [*many(3), app("there", ["dead"], ports=[5000])]

    outcomes = asyncio.run(converge(opened(*everywhere), QUIET, WHO))

    assert ends(outcomes) == {
        ("app00", "a"): "action",
        ("app01", "a"): "1",
        ("app02", "a"): "1",
        ("there", "dead"): "unreachable",
    }


def test_a_host_that_is_lost_in_the_middle_is_told_so(stepping: Stepping) -> None:
    lost = HostUnreachable("a", "the connection broke")
    stepping.fails = lambda action: lost if isinstance(action, WaitHealthy) else None

    (outcome,) = asyncio.run(converge(opened(app("hello", ["a"])), QUIET, WHO))

    assert ends([outcome]) == {("hello", "a"): "unreachable"}
    assert [action.verb for action in outcome.actions] == ["install", "start"]


def run_with_commit(stepping: Stepping, first: OpenFleet, then: OpenFleet, app: str, verb: str) -> list[list[Outcome]]:
    """A watch's engine: the second desired state comes while this action of the first one is under way."""
    reports: list[list[Outcome]] = []

    async def story() -> None:
        engine = engine_of(first, reports)
        engine.begin_turn()
        work = asyncio.create_task(engine.run())
        await stepping.doing(app, verb)
        engine.want(then, WHO)
        engine.begin_turn()
        await settled(engine, work)
        work.cancel()

    asyncio.run(story())
    return reports


def test_a_commit_to_another_app_does_not_interrupt_an_upload(stepping: Stepping) -> None:
    """And the other one does not wait for it."""
    stepping.slow = lambda action: 0.3 if isinstance(action, InstallRelease) and action.app == "big" else 0.001
    big, web = app("big", ["a"]), app("web", ["a"], ports=[4002, 4003])
    first = opened(big)

    reports = run_with_commit(stepping, first, opened(big, web, before=first), "big", "install")

    assert stepping.cut == []
    assert stepping.verbs("big").count("install") == 1
    done = [(action.app, action.verb) for action in stepping.done]
    assert done.index(("web", "enable")) < done.index(("big", "install"))
    assert {key for outcomes in reports for key in ends(outcomes)} == {("big", "a"), ("web", "a")}


def test_a_commit_ends_the_wait_of_what_it_changes_and_its_version_follows_at_once(stepping: Stepping) -> None:
    stepping.slow = lambda action: 60 if isinstance(action, WaitHealthy) and not stepping.cut else 0.001
    first = opened(app("hello", ["a"]))

    reports = run_with_commit(stepping, first, opened(app("hello", ["a"], version="2"), before=first), "hello", "wait")

    assert [action.verb for action in stepping.cut] == ["wait"]
    assert ends(reports[-1]) == {("hello", "a"): "2"}


def test_a_change_of_the_host_under_way_is_let_finish(stepping: Stepping) -> None:
    stepping.slow = lambda action: 0.1 if getattr(action, "verb", "") == "start" else 0.001
    first = opened(app("hello", ["a"]))

    reports = run_with_commit(stepping, first, opened(app("hello", ["a"], version="2"), before=first), "hello", "start")

    assert stepping.cut == []
    assert ends(reports[-1]) == {("hello", "a"): "2"}


def test_after_holds_although_the_commits_come_one_after_the_other(stepping: Stepping) -> None:
    """The first app is still in its wait when the second one is committed."""
    stepping.slow = lambda action: 0.15 if isinstance(action, WaitHealthy) and action.app == "api" else 0.001
    api = app("api", ["a"])
    web = app("web", ["a"], after=["api"], ports=[4002, 4003])
    asyncio.run(converge(opened(api, web), QUIET, WHO))
    stepping.done.clear()
    first = opened(api.model_copy(update={"version": "2"}), web)

    then = opened(*(each.model_copy(update={"version": "2"}) for each in (api, web)), before=first)
    reports = run_with_commit(stepping, first, then, "api", "wait")

    done = [(action.app, action.verb) for action in stepping.done]
    assert done.index(("api", "enable")) < done.index(("web", "install"))
    assert ends(reports[-1])["web", "a"] == "2"


def test_an_app_that_is_wanted_again_is_not_removed(stepping: Stepping) -> None:
    apps = many(4)
    asyncio.run(converge(opened(*apps), QUIET, WHO))
    stepping.slow = lambda action: 0.1 if getattr(action, "verb", "") == "stop" else 0.001
    first = opened(*apps[1:])

    reports = run_with_commit(stepping, first, opened(*apps, before=first), "app00", "stop")

    assert ends(reports[-1])["app00", "a"] == "1"
    assert "remove" not in stepping.verbs("app00")


def test_a_host_that_is_reached_otherwise_is_looked_at_before_anything_is_said_of_it(stepping: Stepping) -> None:
    hello = app("hello", ["a"])
    first = opened(hello)
    asyncio.run(converge(first, QUIET, WHO))
    moved = opened(hello)
    moved.sites["a"] = replace(moved.sites["a"], spec=HostSpec(address="10.9.9.9", user="deploy"))
    moved.targets = {key: replace(files, site=moved.sites["a"]) for key, files in moved.targets.items()}

    async def story() -> tuple[bool, bool]:
        engine = engine_of(first)
        engine.begin_turn()
        await engine.run(until_rest=True)
        known = "a" in engine.known.hosts
        engine.want(moved, WHO)
        return known, "a" in engine.known.hosts

    assert asyncio.run(story()) == (True, False)


def test_held_it_ends_what_can_be_ended_and_gives_the_lease_back(stepping: Stepping) -> None:
    stepping.slow = lambda action: 60 if isinstance(action, WaitHealthy) else 0.001
    reports: list[list[Outcome]] = []

    async def story() -> None:
        engine = engine_of(opened(app("hello", ["a"])), reports)
        engine.begin_turn()
        work = asyncio.create_task(engine.run())
        await stepping.doing("hello", "wait")
        engine.hold()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await engine.run(until_rest=True)

    asyncio.run(story())
    assert [action.verb for action in stepping.cut] == ["wait"]
    assert stepping.closed == [("a", ["hello"], False)]
    assert ends(reports[-1]) == {("hello", "a"): "waiting"}


def test_another_controller_is_waited_for_as_long_as_was_asked(
    stepping: Stepping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.engine.looks.LOOK_AGAIN_SECONDS", 0.02)
    stepping.hosts["a"] = replace(ObservedHost("a", PLENTY), locked="bob changes this host", lease=Lease(3, "x", 30))

    async def story(wait_lock_seconds: float) -> list[Outcome]:
        async def free() -> None:
            await asyncio.sleep(0.1)
            stepping.hosts["a"] = ObservedHost("a", PLENTY)

        helper = asyncio.create_task(free())
        outcomes = await converge(opened(app("hello", ["a"])), QUIET, WHO, wait_lock_seconds=wait_lock_seconds)
        helper.cancel()
        return outcomes

    assert ends(asyncio.run(story(0))) == {("hello", "a"): "locked"}
    (outcome,) = asyncio.run(story(5))
    assert ends([outcome]) == {("hello", "a"): "1"}
    assert outcome.waited_seconds > 0.02


def test_actions_that_come_up_again_and_again_are_given_up(stepping: Stepping, monkeypatch: pytest.MonkeyPatch) -> None:
    async def useless(applier: Applier, action: object, seen: ObservedHost) -> ObservedHost:
        return seen

    monkeypatch.setattr(Applier, "apply", useless)

    (outcome,) = asyncio.run(converge(opened(app("hello", ["a"])), QUIET, WHO))

    assert ends([outcome]) == {("hello", "a"): "circling"}


SPEC = HostSpec(address="10.0.0.1", user="root")
SITE = HostSite("a", SPEC, (8080,))
WRITTEN = {"app": "hello", "version": "1", "artifact": {"source": "x.tar.gz"}, "hosts": ["a"], "ports": [4000, 4001]}


def target(*, site: HostSite = SITE, artifact: str | None = "a" * 64, secret: str = "s", **keys: object) -> TargetFiles:
    written = App.model_validate({**WRITTEN, "env": {"KEY": {"secret": "key"}}, **keys})
    return resolve(written, site, Traefik(), Path(), artifact, lambda name: secret)


@pytest.mark.parametrize(
    ("now", "goes_on"),
    [
        (target(), True),
        (target(artifact=None), True),  # its registry does not answer at the moment
        (target(artifact="b" * 64), False),
        (target(version="2"), False),
        (target(secret="other"), False),
        (target(env={"GREETING": "Hello"}), False),
        (target(after=["db"]), False),
        (target(site=replace(SITE, spec=HostSpec(address="10.0.0.2", user="root"))), False),
    ],
)
def test_only_what_a_commit_changes_is_called_off(now: TargetFiles, goes_on: bool) -> None:
    assert target().wants_the_same(now) is goes_on


def test_a_connection_is_kept_for_as_long_as_it_leads_to_the_same_place() -> None:
    """After a move in fleet.yaml, the old machine no longer answers for the new one."""
    before = OpenFleet(Desired(Fleet(), (), None, Path()))
    before.hosts["a"] = before.transport(SITE)
    before.sites["a"] = SITE

    assert before.transport(SITE) is before.hosts["a"]
    moved = replace(SITE, spec=HostSpec(address="10.0.0.1", user="root", port=2222))
    assert before.transport(moved) is not before.hosts["a"]


def test_a_removal_is_reported_with_what_it_did(stepping: Stepping) -> None:
    """At its end nothing is left on the host that would tell of the app."""
    asyncio.run(converge(opened(*many(4)), QUIET, WHO))
    stepping.closed.clear()
    reports: list[list[Outcome]] = []

    async def story() -> None:
        engine = engine_of(opened(*many(4)[1:], hosts=("a",)), reports)
        engine.begin_turn()
        await engine.run(until_rest=True)

    asyncio.run(story())

    (gone,) = [each for each in reports[-1] if each.end.app == "app00"]
    assert isinstance(gone.end, Converged)
    assert gone.actions[-1].verb == "remove"
    assert ("a", ["app00"], False) in stepping.closed


def goes_back_to(former: OpenFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback takes host a back to this desired state, without asking git or marking a host."""

    async def find_former(*_: object) -> Desired:
        return former.desired

    async def reject(*_: object) -> list[str]:
        return []

    async def work_out(*_: object) -> OpenFleet:
        return replace(former, targets={key: files for key, files in former.targets.items() if key[1] == "a"})

    monkeypatch.setattr("reconciler.engine.rollback.find_former", find_former)
    monkeypatch.setattr("reconciler.engine.rollback.reject", reject)
    monkeypatch.setattr("reconciler.engine.rollback.work_out", work_out)


def test_a_newer_commit_ends_a_fleet_rollback(stepping: Stepping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 failed on host b, so host a is taken back to 1; version 3 comes while 1 is being proven there."""

    def at(version: str, before: OpenFleet | None = None) -> OpenFleet:
        return opened(app("hello", ["a", "b"], version=version, rollout={"on_failure": "rollback"}), before=before)

    asyncio.run(converge(at("1"), QUIET, WHO))
    second = at("2")
    former = at("1", before=second)

    goes_back_to(former, monkeypatch)
    failed = Blocked("b", "hello", "version 2 failed here", kind="quarantined")
    reports: list[list[Outcome]] = []

    async def story() -> None:
        engine = engine_of(second, reports)
        engine.begin_turn()
        work = asyncio.create_task(engine.run())
        while "enable" not in stepping.verbs("hello")[4:]:
            await asyncio.sleep(0.001)
        engine.known.failed["hello", "b"] = failed
        stepping.slow = lambda action: 60 if isinstance(action, WaitHealthy) and not stepping.cut else 0.001
        while not engine.rollbacks.files:
            await asyncio.sleep(0.001)
        await stepping.doing("hello", "wait")
        engine.want(at("3", before=second), WHO)
        engine.begin_turn()
        await settled(engine, work)
        work.cancel()

    asyncio.run(asyncio.wait_for(story(), 30))

    assert [(action.verb, action.host) for action in stepping.cut] == [("wait", "a")]
    last = {key: end for outcomes in reports for key, end in ends(outcomes).items()}
    assert last == {("hello", "a"): "3", ("hello", "b"): "3"}


def test_the_processes_of_an_app_are_taken_back_with_it(stepping: Stepping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 failed on host b; on host a, where it was live, all of it goes back to 1, with the files of 1."""

    def at(version: str, before: OpenFleet | None = None) -> OpenFleet:
        keys = {"version": version, "rollout": {"on_failure": "rollback"}, "env": {"V": version}}
        whole = app("hello", ["a", "b"], processes={"mailer": {"start": "bin/mail"}}, **keys)
        return opened(*with_processes(whole), before=before)

    second = at("2")
    former = at("1", before=second)

    goes_back_to(former, monkeypatch)
    engine = engine_of(second, [])

    async def begin() -> None:
        engine.rollbacks.begin(Failure(second.desired.apps[0], "b", ("a",)), second, WHO)
        await engine.rollbacks.by_app["hello"].task

    asyncio.run(begin())

    for name in ("hello", "hello--mailer"):
        rollback = engine.rollbacks.of((name, "a"))
        assert rollback is not None
        assert rollback.files[name, "a"].variables["V"] == "1"
        assert engine.rollbacks.of((name, "b")) is None


def test_a_rollback_reaches_no_host_that_only_the_former_version_had(
    stepping: Stepping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app ran on c before; where its new version has to go, there is nothing to go back to."""
    fleet = opened(app("hello", ["a", "b"], version="2"), hosts=("c",))

    async def find_former(*_: object) -> Desired:
        return opened(app("hello", ["c"])).desired

    monkeypatch.setattr("reconciler.engine.rollback.find_former", find_former)
    rollback = Rollback(Failure(fleet.desired.apps[0], "b", ("a",)), fleet, WHO)

    asyncio.run(rollback.prepare(()))

    assert (rollback.files, list(rollback.blocked)) == ({}, [("hello", "a")])
    assert rollback.blocked["hello", "a"].reason.endswith("there is no former version to roll back to")


def test_a_pause_ends_by_itself_when_the_hosts_say_that_it_is_over(
    stepping: Stepping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits through the pause with nothing under way, looks at the host of the batch before, and goes on."""
    ages = {1: 9.95, 2: 10.0}
    monkeypatch.setattr("reconciler.decide.batches._age_seconds", lambda *_: ages[min(stepping.looks["a"], 2)])
    paused = app("hello", ["a", "b"], rollout={"pause_seconds": 10})

    outcomes = asyncio.run(converge(opened(paused), QUIET, WHO))

    assert ends(outcomes) == {("hello", "a"): "1", ("hello", "b"): "1"}
    assert [action.host for action in stepping.done] == ["a"] * 4 + ["b"] * 4
    assert stepping.looks == {"a": 2, "b": 1}


def test_a_commit_ends_a_pause(stepping: Stepping) -> None:
    """The next version begins with the first host, at once."""

    async def story() -> list[str]:
        engine = engine_of(opened(app("hello", ["a", "b"], rollout={"pause_seconds": 3600})))
        work = asyncio.create_task(engine.run())
        engine.begin_turn()
        while stepping.verbs("hello") != ROLLOUT:
            await asyncio.sleep(0.001)
        engine.want(opened(app("hello", ["a", "b"], version="2")), WHO)
        engine.begin_turn()
        await settled(engine, work)
        work.cancel()
        return stepping.verbs("hello", "b")

    assert asyncio.run(story())
