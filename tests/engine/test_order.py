"""What waits for what in a pass: hosts in batches, apps after apps, removals after what takes their place."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.fleet import groups
from reconciler.decide.guards import too_many_removals
from reconciler.engine.calling_off import Key
from reconciler.engine.order import Schedule
from reconciler.model.action import Blocked, Converged
from reconciler.model.desired import App, Desired, Fleet
from reconciler.model.machine import read_host
from reconciler.model.observed import ObservedApp, ObservedHost, RouteFile, Slot, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import HostSite, TargetFiles, resolve
from reconciler.targets.traefik_app import traefik_app

DIGEST = "a" * 64


def app(name: str, hosts: list[str], **more: object) -> App:
    written = {"app": name, "version": "1", "artifact": {"source": "x.tar.gz"}, "hosts": hosts, "ports": [4000, 4001]}
    return App.model_validate({**written, **more})


def site(name: str) -> HostSite:
    return HostSite(name, read_host(name), (8080,))


def targets(*apps: App) -> list[TargetFiles]:
    return [
        resolve(each, site(host), Traefik(), Path(), DIGEST, lambda name: name) for each in apps for host in each.hosts
    ]


async def order_of(
    wanted: list[TargetFiles], seen: dict[str, ObservedHost | Unreachable], ends: dict[Key, bool]
) -> Schedule:
    """An order in which every job is done; `ends` says which of them converged."""

    async def shown(value: ObservedHost | Unreachable) -> ObservedHost | Unreachable:
        return value

    async def ended(key: Key) -> Outcome:
        good = ends.get(key, True)
        return Outcome(Converged(key[1], key[0], "1", "4000") if good else Blocked(key[1], key[0], "bad"))

    schedule = Schedule(
        wanted, "reconcile", {host: asyncio.create_task(shown(look)) for host, look in seen.items()}, {}
    )
    for files in wanted:
        schedule.start(files, ended((files.target.app, files.target.host)))
    return schedule


def ran(work: Coroutine[None, None, str]) -> str:
    return asyncio.run(work)


def hosts(*names: str) -> dict[str, ObservedHost | Unreachable]:
    return {name: ObservedHost(name) for name in names}


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
    assert groups(list("abcde"), batch) == expected


def test_a_later_host_waits_for_one_where_the_version_failed() -> None:
    async def story() -> str:
        wanted = targets(app("hello", ["a", "b", "c"]))
        schedule = await order_of(wanted, hosts("a", "b", "c"), {("hello", "b"): False})
        return await schedule.reason_to_wait(wanted[2], ObservedHost("c"))

    assert ran(story()) == "waits for host b: hello is not converged on b"


def test_a_host_that_cannot_be_seen_holds_nobody_up() -> None:
    async def story() -> str:
        wanted = targets(app("hello", ["a", "b"]))
        seen = {"a": Unreachable("a", "gone"), **hosts("b")}
        schedule = await order_of(wanted, seen, {("hello", "a"): False})
        return await schedule.reason_to_wait(wanted[1], ObservedHost("b"))

    assert ran(story()) == ""


def test_an_app_comes_after_those_it_names() -> None:
    async def story() -> str:
        wanted = targets(app("db", ["a"]), app("hello", ["a"], after=["db"], ports=[4002, 4003]))
        schedule = await order_of(wanted, hosts("a"), {("db", "a"): False})
        return await schedule.reason_to_wait(wanted[1], ObservedHost("a"))

    assert ran(story()) == "comes after db: db is not converged on a"


def test_an_app_comes_after_what_an_older_pass_is_still_at() -> None:
    """The commit of the second came while the first was under way, and the newer pass leaves that one out."""

    async def story(good: bool) -> tuple[bool, str]:
        wanted = targets(app("hello", ["a"], after=["db"], ports=[4002, 4003]))
        schedule = await order_of(wanted, hosts("a"), {})
        older = asyncio.get_running_loop().create_future()
        schedule.older["db", "a"] = asyncio.ensure_future(older)
        asking = asyncio.create_task(schedule.reason_to_wait(wanted[0], ObservedHost("a")))
        await asyncio.sleep(0.01)
        waits = not asking.done()
        older.set_result(Outcome(Converged("a", "db", "2", "4000") if good else Blocked("a", "db", "bad")))
        return waits, await asking

    assert asyncio.run(story(good=True)) == (True, "")
    assert asyncio.run(story(good=False)) == (True, "comes after db: db is not converged on a")


def owned(*names: str, owner: str = "reconcile") -> ObservedHost:
    return ObservedHost("a", apps={name: ObservedApp(owner=owner, releases=("1-x",)) for name in names})


async def removed(wanted: list[TargetFiles], seen: ObservedHost, *, good: bool = True) -> dict[str, str]:
    ends = {} if good else {(files.target.app, "a"): False for files in wanted}
    schedule = await order_of(wanted, {"a": seen}, ends)
    named = {(files.target.app, files.target.host) for files in wanted}
    gone = await schedule.removals({"a": site("a")}, named, allow_prune=False)
    return {files.target.app: files.target.waits_for or "" for files in gone}


def test_what_is_ours_and_named_no_more_is_removed() -> None:
    wanted = targets(app("one", ["a"]), app("two", ["a"], ports=[4002]), app("three", ["a"], ports=[4003]))

    assert asyncio.run(removed(wanted, owned("one", "two", "three", "old"))) == {"old": ""}


def test_apps_of_another_owner_are_left_alone() -> None:
    wanted = targets(app("one", ["a"]))

    assert asyncio.run(removed(wanted, owned("theirs", owner="other-repository"))) == {}


def test_more_than_a_third_at_once_needs_a_word() -> None:
    wanted = targets(app("one", ["a"]))
    waits = asyncio.run(removed(wanted, owned("one", "two", "three")))

    assert set(waits) == {"two", "three"}
    assert "2 of 3 apps at once" in waits["two"]
    assert too_many_removals(["a"], 3) is None


def test_a_renamed_app_goes_only_when_its_successor_serves() -> None:
    wanted = targets(app("new", ["a"], moved_from="old"))

    assert asyncio.run(removed(wanted, owned("new", "old"), good=False)) == {"old": "new is not converged on a"}
    assert asyncio.run(removed(wanted, owned("new", "old"))) == {"old": ""}


def test_a_release_migrated_from_one_host_is_not_migrated_from_another() -> None:
    async def story() -> list[bool]:
        wanted = targets(app("hello", ["a", "b"], migrate="bin/hello migrate"))
        schedule = await order_of(wanted, hosts("a", "b"), {})
        return [(await schedule.skip_second_migration(files)).target.migrates for files in wanted]

    assert asyncio.run(story()) == [True, False]


def test_the_first_host_does_not_migrate_again_what_the_second_did_while_it_was_away() -> None:
    async def story() -> bool:
        wanted = targets(app("hello", ["a", "b"], migrate="bin/hello migrate"))
        release = wanted[0].target.release or ""
        migrated = replace(ObservedHost("b"), apps={"hello": ObservedApp(migrated=(release,))})
        schedule = await order_of(wanted, {"a": ObservedHost("a"), "b": migrated}, {})
        return (await schedule.skip_second_migration(wanted[0])).target.migrates

    assert asyncio.run(story()) is False


TRAEFIK_OF_OURS = Traefik(version="3.7.15", source="traefik.tar.gz")


def behind_traefik(*, good: bool, route: bool = True) -> tuple[list[TargetFiles], dict[Key, bool]]:
    hello = app("hello", ["a"], route={"domains": ["example.com"]} if route else None)
    routed = app("other", ["a"], route={"domains": ["other.example.com"]})
    proxy = traefik_app(Desired(Fleet(traefik=TRAEFIK_OF_OURS), (routed,), None, Path()))
    assert proxy is not None
    return targets(proxy, hello), {("traefik", "a"): good}


def waits(*, good: bool, route: bool = True, seen: ObservedHost | None = None) -> str:
    async def story() -> str:
        wanted, ends = behind_traefik(good=good, route=route)
        schedule = await order_of(wanted, hosts("a"), ends)
        return await schedule.reason_to_wait(wanted[1], seen or ObservedHost("a"))

    return ran(story())


def test_a_rollout_that_visitors_shall_see_waits_for_the_traefik_of_its_host() -> None:
    assert waits(good=False) == "traefik is not converged on a"
    assert waits(good=True) == ""
    assert waits(good=False, route=False) == ""


def test_putting_drift_back_does_not_wait_for_traefik() -> None:
    wanted, _ = behind_traefik(good=False)
    identity = wanted[1].target.identity(wanted[1].target.release or "")
    live = Slot("4000", prepared=identity, enabled=True)
    seen = ObservedHost("a", apps={"hello": ObservedApp(slots=(live,), route=RouteFile("4000", "x", intact=True))})

    assert waits(good=False, seen=seen) == ""


def test_traefik_stays_as_long_as_a_route_needs_it() -> None:
    """Whoever looks after it from now on; and it does not count among what is removed at once."""
    wanted = targets(app("one", ["a"]))
    serving = ObservedApp(owner="reconcile", releases=("3.7.15-x",), watched=("mine.yml",))
    seen = ObservedHost("a", apps={"traefik": serving, "one": ObservedApp(owner="reconcile", releases=("1-x",))})

    assert asyncio.run(removed(wanted, seen)) == {}
    idle = seen.with_app("traefik", replace(serving, watched=()))
    others = replace(idle, apps={**idle.apps, **owned("two", "three").apps})
    assert "traefik" in asyncio.run(removed(wanted, others))
