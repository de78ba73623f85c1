"""Traces of rollouts for OpenTelemetry: a commit, each app on a host that it moves, and each action.

What happened is noted while it happens, and handed to a thread at the end of a pass. Only that thread loads
OpenTelemetry and waits for a collector (`daemon/otel.py`): a collector that is away, slow or silent costs a pass
nothing, and the end of the process at most a few seconds.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from reconciler.clock import epoch_seconds
from reconciler.logs import log
from reconciler.model.action import AnyAction, Blocked
from reconciler.model.outcome import Outcome

if TYPE_CHECKING:
    from reconciler.daemon.otel import Exporter

MOST_WAITING: Final = 100  # passes with news; further ones are dropped until the collector takes some
FLUSH_SECONDS: Final = 3.0  # at the end of the process
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Key = tuple[str, str]  # app, host


@dataclass
class ActionRun:
    """One action, from its start to its end. Times are epoch seconds."""

    verb: str
    subject: str
    reason: str
    began: float
    ended: float | None = None
    error: str = ""  # the class of the error that ended it


@dataclass(frozen=True)
class AppRun:
    """All actions of an app on a host since it was last at rest, and how it is at rest again."""

    app: str
    host: str
    actions: tuple[ActionRun, ...]
    before: str
    after: str
    problem: str  # its kind; "" if the app is converged
    reason: str  # without the values of secrets

    @property
    def began(self) -> float:
        return min(action.began for action in self.actions)

    @property
    def ended(self) -> float:
        return max(action.ended or action.began for action in self.actions)


@dataclass(frozen=True)
class Rollout:
    """What one commit moved until everything was at rest. `finished`: nothing is left to do for it."""

    revision: str
    apps: tuple[AppRun, ...]
    finished: bool


@dataclass
class Traces:
    """The actions that are noted, and the thread that sends them. Without `export`, nothing is noted.

    `revision` gives the commit in use.
    """

    revision: Callable[[], str | None]
    export: Callable[[], Exporter] | None = None
    noted: dict[Key, list[ActionRun]] = field(default_factory=dict)
    waiting: queue.Queue[Rollout | None] = field(default_factory=lambda: queue.Queue(MOST_WAITING))
    thread: threading.Thread | None = None

    def begin(self, action: AnyAction) -> None:
        """Note the start of an action."""
        if self.export is None:
            return
        run = ActionRun(action.verb, action.subject, action.reason, epoch_seconds())
        self.noted.setdefault((action.app, action.host), []).append(run)

    def end(self, action: AnyAction, error: BaseException | None) -> None:
        """Note its end."""
        if self.export is None:
            return
        run = self.noted[action.app, action.host][-1]
        run.ended, run.error = epoch_seconds(), type(error).__name__ if error else ""

    def end_pass(self, outcomes: Iterable[Outcome]) -> None:
        """Hand over what has happened to the apps that are at rest. Never waits."""
        outcomes = list(outcomes)
        ended = [(outcome, self.noted.pop((outcome.end.app, outcome.end.host), [])) for outcome in outcomes]
        apps = tuple(_app_run(outcome, actions) for outcome, actions in ended if actions)
        if not apps:
            return
        finished = not any(isinstance(o.end, Blocked) and o.end.kind != "suspended" for o in outcomes)
        try:
            self.waiting.put_nowait(Rollout(self.revision() or "", apps, finished))
        except queue.Full:
            log("trace.dropped", reason="the collector has not taken the former ones", apps=len(apps))
        if self.thread is None:
            self.thread = threading.Thread(target=self._send, name="traces", daemon=True)
            self.thread.start()

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        if self.thread is None:
            return
        try:
            self.waiting.put_nowait(None)
        except queue.Full:
            return
        self.thread.join(FLUSH_SECONDS)

    def _send(self) -> None:
        try:
            assert self.export is not None
            exporter = self.export()
            while (rollout := self.waiting.get()) is not None:
                exporter.export(rollout)
            exporter.close()
        except Exception as error:  # a thread must not end the process, and a trace is not worth a pass
            log("traces.failed", reason=f"{type(error).__name__}: {error}")


def traces_of(revision: Callable[[], str | None], environment: Mapping[str, str] | None = None) -> Traces:
    """Return where to note actions: for nobody unless the usual variables name a collector and the extra is there."""
    environment = os.environ if environment is None else environment
    if not any(environment.get(name) for name in _ENDPOINTS) or _is_off(environment):
        return Traces(revision)
    if not _is_installed():
        log("traces.off", reason="OpenTelemetry is not installed", next="pip install 'reconcile-servers[otel]'")
        return Traces(revision)

    def export() -> Exporter:
        from reconciler.daemon.otel import Exporter  # takes half a second, in the thread of the traces

        return Exporter()

    return Traces(revision, export)


def _is_installed() -> bool:
    try:
        return None not in map(find_spec, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # of the package around it
        return False


def _is_off(environment: Mapping[str, str]) -> bool:
    exporters = environment.get("OTEL_TRACES_EXPORTER", "") or "otlp"
    return environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or "otlp" not in exporters.split(",")


def _app_run(outcome: Outcome, actions: list[ActionRun]) -> AppRun:
    end = outcome.end
    where = (end.app, end.host, tuple(actions), outcome.before or "")
    if isinstance(end, Blocked):
        return AppRun(*where, end.serving or "", end.kind, end.reason.removeprefix(f"host {end.host}: "))
    return AppRun(*where, end.version, "", "")
