"""A mistake of reconcile's own: it is told in a line, without what it said, and stops nothing else."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.cli import main
from reconciler.desired_state.origin import Origin
from reconciler.engine import converge
from reconciler.engine.converge import Pass
from reconciler.engine.progress import Progress
from reconciler.engine.watch import Watch
from reconciler.errors import ReconcileError
from reconciler.host.local import LocalHost
from reconciler.model.action import Blocked, Converged
from reconciler.model.machine import HostSpec
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller, Target
from reconciler.targets.resolve import HostSite, TargetFiles

WHO = Controller("1-1", "anna", "-")
QUIET = Progress(lambda event, **fields: None, terminal=False)


def converged(monkeypatch: pytest.MonkeyPatch, *keys: tuple[str, str]) -> dict[tuple[str, str], Converged | Blocked]:
    """How a pass over these apps ends, by app and host. Looks show an empty host."""

    async def look(host: LocalHost, *_: object) -> ObservedHost | Unreachable:
        if host.name == "mistaken":
            raise KeyError("s3cret")
        return ObservedHost(host.name)

    monkeypatch.setattr(converge, "observe", look)
    names = sorted({host for _, host in keys})
    sites = {name: HostSite(name, HostSpec(address="local"), (8080,)) for name in names}
    targets = [
        TargetFiles(Target.removal(host, app), None, sites[host], None, None, Path(), {}, frozenset())
        for app, host in keys
    ]
    hosts = {name: LocalHost(name, needs_root=False) for name in names}
    outcomes: list[Outcome] = asyncio.run(Pass(cast(Any, hosts), sites, targets, WHO, QUIET).run())
    return {(each.end.app, each.end.host): each.end for each in outcomes}


def test_about_one_host_it_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = converged(monkeypatch, ("hello", "mistaken"), ("hello", "sound"))

    end = ends["hello", "mistaken"]
    assert isinstance(end, Blocked)
    assert (end.kind, end.retryable) == ("unexpected", True)
    assert "a bug in reconcile: KeyError at reconciler/engine/converge.py:" in end.reason
    assert "s3cret" not in end.reason
    assert ("hello", "sound") not in ends  # gone, as wanted


def test_about_one_app_it_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(target: Target, seen: ObservedHost) -> Converged:
        if target.app == "mistaken":
            raise ValueError("s3cret")
        return Converged(target.host, target.app, "1", "4000")

    monkeypatch.setattr(converge, "next_action", decide)

    ends = converged(monkeypatch, ("mistaken", "sound"), ("hello", "sound"))

    assert [type(ends[app, "sound"]) for app in ("mistaken", "hello")] == [Blocked, Converged]
    at = r"reconciler/engine/converge\.py:[0-9]+"
    assert re.search(rf"ValueError at {at} \(from {at}, {at}, {at}\)", repr(ends["mistaken", "sound"]))
    assert "s3cret" not in repr(ends)


def test_the_watch_goes_on_after_it() -> None:
    class Mistaken:
        reads = 0

        async def read(self) -> None:
            self.reads += 1
            if self.reads == 3:
                watch.stop()
            raise TypeError("s3cret")

    told: list[ReconcileError] = []
    origin = Mistaken()
    watch = Watch(cast(Origin, origin), lambda owner: WHO, QUIET, lambda *_: None, told.append, 0.01)

    asyncio.run(watch.run())

    assert origin.reads == 3
    assert {type(each).__name__ for each in told} == {"Unexpected"}
    assert "s3cret" not in str(told)


def test_no_traceback_reaches_a_user(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def mistaken(args: object) -> int:
        raise KeyError("s3cret")

    monkeypatch.setattr("reconciler.commands.validate.run", mistaken)

    assert main(["validate"]) == 1

    told = capsys.readouterr().err
    assert told.startswith("a bug in reconcile: KeyError at reconciler/cli.py:")
    assert told.endswith("next: please report it\n")
    assert "s3cret" not in told
    assert "Traceback" not in told
