"""A newer desired state ends what it wants otherwise, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.calling_off import CalledOff, CallingOff
from reconciler.engine.converge import Pass
from reconciler.engine.progress import Progress
from reconciler.model.action import Converged
from reconciler.model.desired import App, Desired, Fleet
from reconciler.model.machine import HostSpec
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.model.traefik import Traefik
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import HostSite, TargetFiles, removal, resolve

KEY = ("hello", "a")
SPEC = HostSpec(address="10.0.0.1", user="root")
SITE = HostSite("a", SPEC, (8080,))
WRITTEN = {"app": "hello", "version": "1", "artifact": {"source": "x.tar.gz"}, "hosts": ["a"], "ports": [4000, 4001]}


def target(*, site: HostSite = SITE, artifact: str | None = "a" * 64, secret: str = "s", **keys: object) -> TargetFiles:
    app = App.model_validate({**WRITTEN, "env": {"KEY": {"secret": "key"}}, **keys})
    return resolve(app, site, Traefik(), Path(), artifact, lambda name: secret)


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
        (None, False),  # it cannot be worked out
    ],
)
def test_only_what_is_wanted_otherwise_is_called_off(now: TargetFiles | None, goes_on: bool) -> None:
    work = Pass({}, {}, [target()], Controller("1-1", "anna", "-"), Progress(lambda event, **_: None, terminal=False))

    work.keep_to({KEY: now, ("other", "a"): target(app="other")})

    assert work.called_off.holds(KEY) is not goes_on
    assert bool(work.called_off) is not goes_on


def test_a_removal_is_called_off_when_the_app_is_wanted_again() -> None:
    async def story(wanted: dict[tuple[str, str], TargetFiles | None]) -> bool:
        work = Pass({}, {}, [], Controller("1-1", "anna", "-"), Progress(lambda event, **_: None, terminal=False))
        work.jobs[removal(SITE, "hello").key] = asyncio.create_task(
            asyncio.sleep(9, Outcome(Converged("a", "hello", "", "")))
        )
        work.keep_to(wanted)
        return work.called_off.holds(KEY)

    assert not asyncio.run(story({("other", "a"): target(app="other")}))
    assert asyncio.run(story({KEY: target()}))
    assert asyncio.run(story({KEY: None}))


def test_work_that_is_called_off_is_over_when_that_is_told() -> None:
    async def story() -> list[str]:
        told: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)
                told.append("ended")

        calling_off = CallingOff()
        waiting = asyncio.create_task(calling_off.unless(KEY, work()))
        await asyncio.sleep(0.01)
        calling_off.call_off(KEY)
        with pytest.raises(CalledOff):
            await waiting
        return told

    assert asyncio.run(story()) == ["ended"]


def test_a_change_that_is_under_way_is_let_finish() -> None:
    async def story() -> str:
        calling_off = CallingOff()
        changing = asyncio.create_task(calling_off.unless(KEY, asyncio.sleep(0.05, "done"), ends=False))
        await asyncio.sleep(0.01)
        calling_off.call_off_everything()
        return await changing

    assert asyncio.run(story()) == "done"


def test_a_connection_is_kept_for_as_long_as_it_leads_to_the_same_place() -> None:
    """Whoever moves a host in fleet.yaml is not answered by the old one."""
    before = OpenFleet(Desired(Fleet(), (), None, Path()))
    before.hosts["a"] = before.transport(SITE)
    before.sites["a"] = SITE

    assert before.transport(SITE) is before.hosts["a"]
    moved = replace(SITE, spec=HostSpec(address="10.0.0.1", user="root", port=2222))
    assert before.transport(moved) is not before.hosts["a"]
