"""An HTTP server on a loopback port: answers by path, and keeps the requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """`answers` by path and query; `asked` and the headers of each question, in order."""

    address: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def authorizations(self) -> list[str | None]:
        return [headers.get("authorization") for headers in self.headers]


def gives(content: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            if value:
                request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def gives_json(value: object, status: int = 200, **headers: str) -> Answer:
    return gives(json.dumps(value).encode(), status, **headers)


def redirects(to: str) -> Answer:
    return gives(b"", 302, Location=to)


def fails(status: int) -> Answer:
    return lambda request: request.send_error(status)


def trickles(request: BaseHTTPRequestHandler) -> None:
    """A server that sends one byte now and then, forever."""
    request.send_response(200)
    request.end_headers()
    for _ in range(100):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.05)


@contextmanager
def web_server() -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            served.headers.append({name.lower(): value for name, value in self.headers.items()})
            with suppress(OSError):  # a client that had enough
                served.answers.get(self.path, fails(404))(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    served.address = f"http://127.0.0.1:{web.server_port}"
    try:
        yield served
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
