"""A bug in reconcile is reported in one line, without the exception's text, and stops nothing else."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from reconciler.cli import main
from reconciler.desired_state.origin import Origin
from reconciler.engine.converge import converge
from reconciler.engine.watch import Watch
from reconciler.errors import ReconcileError
from reconciler.host.transport import Transport
from reconciler.model.action import Blocked
from reconciler.model.observed import ObservedHost, Unreachable
from tests.decide.test_fleet import app
from tests.support.stepping import QUIET, WHO, Stepping, ends, opened


def test_an_unexpected_error_about_one_host_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(host: Transport, *_: object) -> ObservedHost | Unreachable:
        if host.name == "mistaken":
            raise KeyError("s3cret")
        return ObservedHost(host.name)

    Stepping().install(monkeypatch)
    monkeypatch.setattr("reconciler.engine.fleet.observe", look)
    outcomes = asyncio.run(converge(opened(app("hello", ["mistaken"]), app("other", ["sound"])), QUIET, WHO))

    (end,) = [each.end for each in outcomes if each.end.host == "mistaken"]
    assert isinstance(end, Blocked)
    assert (end.kind, end.retryable) == ("unexpected", True)
    assert "a bug in reconcile: KeyError at reconciler/engine/fleet.py:" in end.reason
    assert "s3cret" not in end.reason
    assert [each.end.app for each in outcomes if each.end.host == "sound"] == ["other"]


def test_about_one_action_it_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Stepping()
    model.install(monkeypatch)
    model.fails = lambda action: ValueError("s3cret") if action.app == "hello" else None

    outcomes = asyncio.run(converge(opened(app("hello", ["a"]), app("other", ["a"], ports=[4002])), QUIET, WHO))

    assert ends(outcomes) == {("hello", "a"): "unexpected", ("other", "a"): "1"}
    assert "s3cret" not in repr(outcomes)


def test_the_watch_goes_on_after_an_unexpected_error() -> None:
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
