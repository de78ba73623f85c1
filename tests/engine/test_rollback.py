"""Going back finds the newest state that has not failed, and holds all of an app there, its processes included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from reconciler.apply.marks import reject
from reconciler.decide.fleet import next_steps
from reconciler.desired_state.origin import Origin
from reconciler.engine.fleet import desired_fleet
from reconciler.engine.rollback import find_former
from reconciler.model.action import Blocked
from reconciler.model.desired import App, Desired
from reconciler.model.observed import ObservedHost, Quarantine
from reconciler.model.target import Target
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.processes import with_processes
from reconciler.targets.target_files import TargetFiles
from tests.decide.test_family import changed, converged
from tests.decide.test_fleet import app, desired_of
from tests.support.stepping import WHO, opened


def shop(version: str = "1", **more: object) -> App:
    return app("shop", ["a"], version=version, **more)


def quarantined(target: Target) -> Quarantine:
    assert target.release is not None
    return Quarantine(target.identity(target.release), "it died", 0, target.attempt)


def former_of(monkeypatch: pytest.MonkeyPatch, seen: ObservedHost, now: App, *past: App) -> App | None:
    """The former state of `now` that is found on this host, among past states, the newest first."""

    class Past:
        async def past_states(self) -> AsyncIterator[Desired]:
            for each in past:
                yield opened(*with_processes(each)).desired

    async def observe(_: object, __: object, files: list[TargetFiles], *___: object) -> ObservedHost:
        asked = {each.target.app for each in files}
        return replace(seen, apps={name: found for name, found in seen.apps.items() if name in asked})

    async def work_out(desired: Desired, *_: object) -> OpenFleet:
        return opened(*desired.apps)

    monkeypatch.setattr("reconciler.engine.rollback.observe", observe)
    monkeypatch.setattr("reconciler.engine.rollback.all_apps", lambda desired: desired.apps)
    monkeypatch.setattr("reconciler.engine.rollback.work_out", work_out)
    fleet = opened(*with_processes(now))
    fleet.origin = cast(Origin, Past())
    found = asyncio.run(find_former(fleet, fleet.desired.apps[0], WHO))
    return found.apps[0] if found else None


@pytest.mark.parametrize(
    "change",
    [{"memory_max": "10M"}, {"health": {"path": "/nothing"}}, {"migrate": "bin/m"}, {"env": {"A": "b"}}],
    ids=str,
)
def test_a_version_that_failed_by_its_settings_goes_back_to_its_former_settings(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not past them to an older version."""
    good, old = shop("2"), shop("1")
    seen = converged(desired_of(good), "a").host("a")
    assert seen is not None

    assert former_of(monkeypatch, seen, shop("2", **change), good, old) == good


def test_no_state_is_gone_back_to_of_which_a_process_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(start: str) -> App:
        return shop(processes={"mailer": {"start": start}})

    failed, good = whole("bin/dies"), whole("bin/mail")
    seen = converged(desired_of(*with_processes(good)), "a")
    target = opened(*with_processes(failed)).targets["shop--mailer", "a"].target
    look = changed(seen, ("shop--mailer", "a"), quarantined=(quarantined(target),)).host("a")
    assert look is not None

    found = former_of(monkeypatch, look, whole("bin/dies-too"), failed, good)

    assert found is not None
    assert found.processes == good.processes


def test_a_process_that_was_rolled_back_is_held_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start alone had changed: without a mark of its own it would be started again at the next pass."""
    former = with_processes(shop(processes={"mailer": {"start": "bin/mail"}}))
    fleet = opened(*with_processes(shop(processes={"mailer": {"start": "bin/other"}})))
    marked: list[tuple[object, ...]] = []

    async def note(_: object, host: str, name: str, *__: object, **___: object) -> None:
        marked.append((name, host))

    monkeypatch.setattr("reconciler.apply.marks._mark", note)
    assert asyncio.run(reject(fleet, "shop", "rolled back by hand", ["a"], WHO)) == ["a"]
    seen = converged(desired_of(*former), "a")
    for key in fleet.targets:
        if key in marked:
            seen = changed(seen, key, quarantined=(quarantined(fleet.targets[key].target),))

    step = next_steps(desired_fleet(fleet), seen)["shop--mailer", "a"]

    assert isinstance(step, Blocked), step
