"""A collector of OpenTelemetry's traces on loopback, which speaks OTLP over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """What was received: each span with its name, parent, attributes and status."""

    address: str = ""
    spans: list[Any] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> list[str]:
        """Each span below its parent, as indented text; ! for an error."""
        by_id = {span.span_id: span for span in self.spans}
        children: dict[bytes, list[Any]] = {}
        for span in sorted(self.spans, key=lambda span: span.start_time_unix_nano):
            children.setdefault(span.parent_span_id if span.parent_span_id in by_id else b"", []).append(span)

        def below(parent: bytes, depth: int) -> list[str]:
            return [
                line
                for span in children.get(parent, [])
                for line in ["  " * depth + span.name + " !" * (span.status.code == 2), *below(span.span_id, depth + 1)]
            ]

        return below(b"", 0)

    def attributes(self, name: str) -> dict[str, str]:
        span = next(span for span in self.spans if span.name == name)
        return {each.key: each.value.string_value for each in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.headers = {name.lower(): value for name, value in self.headers.items()}
            assert self.path == "/v1/traces"
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                collector.resource = {pair.key: pair.value.string_value for pair in each.resource.attributes}
                collector.spans += [span for scope in each.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        collector.address = f"http://127.0.0.1:{listening.server_port}"
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield collector
        listening.shutdown()
