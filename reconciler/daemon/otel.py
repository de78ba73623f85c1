"""OpenTelemetry: rollouts as spans, with the names of its conventions for CI/CD. The only file that imports its SDK.

The usual variables apply: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_… and so on. The protocol is OTLP over HTTP.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from reconciler.daemon.traces import ActionRun, AppRun, Rollout

EXPORT_SECONDS: Final = 5.0  # for one request, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise
SAME_TRACE_SECONDS: Final = 24 * 3600.0  # how long later passes for one commit belong to its first trace
LONGEST_REASON: Final = 300


class Exporter:
    """Turns rollouts into spans and sends them. Lives in a thread of its own."""

    def __init__(self) -> None:
        for name in ("opentelemetry.exporter.otlp", "opentelemetry.sdk", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it would print each attempt between our lines
        seconds = None if any("OTLP" in name and name.endswith("TIMEOUT") for name in os.environ) else EXPORT_SECONDS
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=seconds)))
        self._tracer = self._provider.get_tracer("reconcile", _version())
        self._unfinished: dict[str, tuple[SpanContext, float]] = {}

    def export(self, rollout: Rollout) -> None:
        """A trace for each commit. A later pass for a commit that was not finished continues its trace."""
        began, ended = min(app.began for app in rollout.apps), max(app.ended for app in rollout.apps)
        former, since = self._unfinished.pop(rollout.revision, (None, 0.0))
        root = None
        if former is None or began - since > SAME_TRACE_SECONDS:
            root = self._tracer.start_span(
                "SYNC reconcile", Context(), SpanKind.INTERNAL, _attributes_of_rollout(rollout), start_time=_ns(began)
            )
            former, since = root.get_span_context(), began
        parent = set_span_in_context(NonRecordingSpan(former), Context())
        for app in rollout.apps:
            self._export_app(app, parent, rollout.revision)
        if root is not None:
            _set_status(root, next((app.problem for app in rollout.apps if app.problem), ""), "")
            root.end(_ns(ended))
        if not rollout.finished:
            self._unfinished = {rollout.revision: (former, since)}  # of one commit only: the newest

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _export_app(self, app: AppRun, parent: Context, revision: str) -> None:
        attributes = _attributes_of_app(app, revision)
        span = self._tracer.start_span(f"deploy {app.app}", parent, attributes=attributes, start_time=_ns(app.began))
        inside = set_span_in_context(span, Context())
        for action in app.actions:
            self._export_action(action, inside)
        _set_status(span, app.problem, app.reason)
        span.end(_ns(app.ended))

    def _export_action(self, action: ActionRun, parent: Context) -> None:
        attributes = {"reconcile.action.subject": action.subject, "reconcile.action.reason": action.reason}
        span = self._tracer.start_span(action.verb, parent, attributes=attributes, start_time=_ns(action.began))
        _set_status(span, action.error, "")
        span.end(_ns(action.ended if action.ended is not None else action.began))


def _attributes_of_rollout(rollout: Rollout) -> dict[str, str]:
    failed = any(app.problem for app in rollout.apps)
    return {
        "cicd.pipeline.name": "reconcile",
        "cicd.pipeline.action.name": "SYNC",
        "cicd.pipeline.result": "failure" if failed else "success",
        **_attributes_of_commit(rollout.revision),
    }


def _attributes_of_app(app: AppRun, revision: str) -> dict[str, str]:
    result = "failure" if app.problem else "success"
    return {
        "cicd.pipeline.task.name": f"deploy {app.app}",
        "cicd.pipeline.task.type": "deploy",
        "cicd.pipeline.task.run.result": result,
        "deployment.name": app.app,
        "deployment.status": "failed" if app.problem else "succeeded",
        "host.name": app.host,
        "reconcile.version.before": app.before,
        "reconcile.version.after": app.after,
        **_attributes_of_commit(revision),
    }


def _attributes_of_commit(revision: str) -> dict[str, str]:
    return {"vcs.ref.head.revision": revision} if revision else {}


def _set_status(span: Span, problem: str, reason: str) -> None:
    if problem:
        span.set_attribute("error.type", problem)
        span.set_status(Status(StatusCode.ERROR, (reason or problem)[:LONGEST_REASON]))


def _resource() -> Resource:
    """What the usual variables say, and our name where they say nothing."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ours = {} if named else {"service.name": "reconcile"}
    return Resource.create({**ours, "service.version": _version()})


def _version() -> str:
    try:
        return version("reconcile-servers")
    except PackageNotFoundError:
        return ""


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
