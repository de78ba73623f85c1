"""Traces of rollouts, as a collector on loopback receives them; and that no collector can hold up a pass."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from reconciler.daemon import traces as traces_module
from reconciler.daemon.traces import Traces, traces_of
from reconciler.engine.progress import Progress
from reconciler.errors import ActionFailed
from reconciler.model.action import AnyAction, Blocked, Converged, InstallRelease, StartInstance
from reconciler.model.identity import Identity
from reconciler.model.outcome import Outcome
from tests.support.collector import Collector, collecting

COMMIT = "c" * 40


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hush")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
        yield collector


def noting(revision: str | None = COMMIT) -> Traces:
    return traces_of(lambda: revision)


def actions(host: str, app: str = "hello") -> tuple[AnyAction, AnyAction]:
    identity = Identity("2-" + 12 * "0", "e", "u")
    install = InstallRelease(host, app, "not on the host", identity.release)
    return install, StartInstance(host, app, "version 1 → 2", "4001", identity)


def act(traces: Traces, *done: AnyAction, error: BaseException | None = None) -> None:
    progress = Progress(lambda event, **fields: None, terminal=False, observer=traces)
    for action in done:
        try:
            with progress.action(action):
                if error and action is done[-1]:
                    raise error
        except type(error or Exception()):
            assert error


def converged(host: str, app: str = "hello") -> Outcome:
    return Outcome(Converged(host, app, "2", "4001"), actions(host, app), 1.0, "1")


def blocked(host: str, reason: str = "the unit failed") -> Outcome:
    end = Blocked(host, "hello", f"host {host}: {reason}", "look", "1", kind="action")
    return Outcome(end, actions(host)[:1], 1.0, "1")


def test_a_trace_leads_from_the_commit_over_the_app_on_a_host_to_each_action(collector: Collector) -> None:
    traces = noting()
    act(traces, *actions("web1"))
    act(traces, *actions("web2", "shop"))
    traces.end_pass([converged("web1"), converged("web2", "shop"), Outcome(Converged("web3", "hello", "2", "4000"))])
    traces.close()

    assert collector.tree == [
        "SYNC reconcile",
        *("  deploy hello", "    install", "    start"),
        *("  deploy shop", "    install", "    start"),
    ]
    assert collector.attributes("SYNC reconcile") == {
        "cicd.pipeline.name": "reconcile",
        "cicd.pipeline.action.name": "SYNC",
        "cicd.pipeline.result": "success",
        "vcs.ref.head.revision": COMMIT,
    }
    assert collector.attributes("deploy shop") == {
        "cicd.pipeline.task.name": "deploy shop",
        "cicd.pipeline.task.type": "deploy",
        "cicd.pipeline.task.run.result": "success",
        "deployment.name": "shop",
        "deployment.status": "succeeded",
        "host.name": "web2",
        "reconcile.version.before": "1",
        "reconcile.version.after": "2",
        "vcs.ref.head.revision": COMMIT,
    }
    assert collector.attributes("install")["reconcile.action.reason"] == "not on the host"
    assert collector.resource["service.name"] == "reconcile"
    assert collector.resource["deployment.environment.name"] == "production"
    assert collector.headers["x-key"] == "hush"


def test_an_error_is_the_status_of_its_action_its_app_and_its_commit(collector: Collector) -> None:
    traces = noting()
    act(traces, *actions("web1"), error=ActionFailed("web1", "the secret is hush", "look"))
    traces.end_pass([blocked("web1")])
    traces.close()

    assert collector.tree == ["SYNC reconcile !", "  deploy hello !", "    install", "    start !"]
    assert collector.attributes("start")["error.type"] == "ActionFailed"
    assert collector.attributes("deploy hello")["error.type"] == "action"
    assert {span.status.message for span in collector.spans} == {"", "action", "the unit failed", "ActionFailed"}


def test_later_passes_for_a_commit_that_is_not_finished_belong_to_its_trace(collector: Collector) -> None:
    traces = noting()
    act(traces, *actions("web1"))
    traces.end_pass([converged("web1"), blocked("web2", "unreachable")])
    act(traces, *actions("web2"))
    traces.end_pass([converged("web1"), converged("web2")])
    act(traces, *actions("web1"))  # somebody stopped it, an hour later
    traces.end_pass([converged("web1")])
    traces.close()

    assert collector.tree == [
        *("SYNC reconcile", "  deploy hello", "    install", "    start", "  deploy hello", "    install", "    start"),
        *("SYNC reconcile", "  deploy hello", "    install", "    start"),
    ]
    assert len({span.trace_id for span in collector.spans}) == 2


def test_an_action_that_was_called_off_is_noted_as_such(collector: Collector) -> None:
    traces = noting()
    act(traces, *actions("web1")[:1], error=asyncio.CancelledError())
    traces.end_pass([blocked("web1", "interrupted")])
    traces.close()

    assert collector.attributes("install")["error.type"] == "CancelledError"


@pytest.mark.parametrize("kind", ["away", "silent"])
def test_a_collector_that_does_not_answer_delays_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "FLUSH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if kind == "away":
            listener.close()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        traces = noting()
        began = time.monotonic()
        for _ in range(3 * traces_module.MOST_WAITING):
            act(traces, *actions("web1"))
            traces.end_pass([converged("web1")])
        passes = time.monotonic() - began
        traces.close()

        assert passes < 5  # of 300 passes, on busy cores
        assert time.monotonic() - began - passes < 5
        assert traces.noted == {}


def test_passes_go_on_while_an_exporter_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is dropped, and that is said."""
    said: list[str] = []
    monkeypatch.setattr(traces_module, "log", lambda event, **fields: said.append(event))
    ended = threading.Event()

    class Stuck:
        def export(self, rollout: object) -> None:
            ended.wait(30)

        def close(self) -> None: ...

    traces = Traces(lambda: COMMIT, lambda: Stuck())  # type: ignore[arg-type, return-value]
    for _ in range(traces_module.MOST_WAITING + 10):
        act(traces, *actions("web1"))
        traces.end_pass([converged("web1")])

    assert set(said) == {"trace.dropped"}
    assert 9 <= len(said) <= 10
    ended.set()


def test_a_process_ends_although_its_collector_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = (
            "from tests.daemon.test_traces import *\n"
            "traces = noting(); act(traces, *actions('web1')); traces.end_pass([converged('web1')]); traces.close()\n"
            "print('closed', flush=True)"
        )
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
        )

    assert (done.stdout, done.stderr) == ("closed\n", "")


def test_without_an_endpoint_or_without_news_nothing_of_it_is_loaded() -> None:
    code = (
        "import os, sys\n"
        "from reconciler.daemon.traces import traces_of\n"
        "at = {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://h'}\n"
        "for more in ({'OTEL_SDK_DISABLED': 'true'}, {'OTEL_TRACES_EXPORTER': 'none'}):\n"
        "    assert traces_of(lambda: None, at | more).export is None\n"
        "assert traces_of(lambda: None, {}).export is None\n"
        "quiet = traces_of(lambda: None, at)\n"
        "quiet.end_pass([]); quiet.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk') or name == 'requests'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_without_the_extra_that_is_said_and_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(traces_module, "find_spec", lambda name: None)
    monkeypatch.setattr(traces_module, "log", lambda event, **fields: said.append(f"{event} {fields['next']}"))

    assert traces_of(lambda: None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}).export is None
    assert said == ["traces.off pip install 'reconcile-servers[otel]'"]
