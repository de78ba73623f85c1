"""A loopback server that receives notifications, and a notifier that reports passes to it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reconciler.errors import ReconcileError
from reconciler.model.action import Blocked, Converged, InstallRelease, StartInstance
from reconciler.model.identity import Identity
from reconciler.model.notify import Notify
from reconciler.model.outcome import Outcome
from reconciler.notify.notifier import Notifier

NOW = 1_700_000_000.0
COMMIT, NEXT_COMMIT = "a" * 40, "b" * 40
APP_SECRET = 'Hush pass"word\\3'
WEBHOOK: dict[str, Any] = {"kind": "webhook", "url": {"secret": "url"}, "key": {"secret": "key"}}
SLACK: dict[str, Any] = {"kind": "slack", "url": {"secret": "url"}}
NTFY: dict[str, Any] = {"kind": "ntfy", "url": {"secret": "url"}, "token": {"secret": "token"}}
GITHUB: dict[str, Any] = {"kind": "github", "repository": "you/fleet", "token": {"secret": "token"}}
GRAFANA: dict[str, Any] = {"kind": "grafana", "url": {"secret": "url"}, "token": {"secret": "token"}}
EVERYTHING = ["failed", "recovered", "converged"]
STATUS = f"/T0/repos/you/fleet/statuses/{COMMIT}"


@dataclass
class Server:
    """Keeps its requests, in order. It gives `answers` first, then 200. Status 0: it hangs up; -1: it never answers."""

    address: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for body in self.raw if body]

    @property
    def notices(self) -> list[Any]:
        """The webhook messages received, as (event, app, host, text)."""
        told = [notice for body in self.bodies for notice in body["notices"]]
        return [(each["event"], each["app"], each["host"], each["text"]) for each in told]


@contextmanager
def receiving() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append(f"{self.command} {self.path}")
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.raw.append(body)
            status, answer = told.answers.pop(0) if told.answers else (200, "{}")
            if status == -1:
                told.ended.wait(10)
            if status <= 0:
                return
            self.send_response(status)
            self.send_header("Location", f"{told.address}/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_POST = do_GET = take

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        told.address = f"http://127.0.0.1:{listening.server_port}/T0"
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield told
        told.ended.set()
        listening.shutdown()


class Teller:
    """A notifier with its secrets, and a clock that advances a minute per pass."""

    def __init__(self, server: Server, *written: dict[str, Any], remember: Path | None = None) -> None:
        self.secrets = {
            "url": f"{server.address}/Hush-path-4",
            "key": "Hush-signing-key-1",
            "token": "ghp_Hush-token-2",
        }
        settings = [Notify.model_validate(each) for each in written]
        # Plain http is for tests only, and nothing that can be written gets there.
        self.settings = [each.model_copy(update={"api": server.address}) for each in settings]
        self.notifier = Notifier(self.settings, self.secret, remember=remember, loopback_http=True, sleep=self.sleep)
        self.now = NOW
        self.slept: list[float] = []
        self.said: list[str] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise ReconcileError(f"the secret {name} is not known", "set it")
        return self.secrets[name]

    async def passes(self, *outcomes: Outcome, revision: str | None = COMMIT, **more: Any) -> None:
        self.said += await self.notifier.notify(outcomes, self.now, revision=revision, secrets=[APP_SECRET], **more)
        self.now += 60

    def told(self, *passes: tuple[Outcome, ...]) -> Teller:
        async def all_of_them() -> None:
            for each in passes:
                await self.passes(*each)

        asyncio.run(all_of_them())
        return self


def good(app: str = "hello", host: str = "web1", version: str = "1") -> Outcome:
    return Outcome(Converged(host, app, version, "4000"))


def rolled_out(version: str, host: str = "web1") -> Outcome:
    where, identity = (host, "hello", f"version 1 → {version}"), Identity(f"{version}-0", "e", "u")
    actions = (InstallRelease(*where, f"{version}-0"), StartInstance(*where, "4001", identity))
    return Outcome(Converged(host, "hello", version, "4001"), actions)


def bad(app: str = "hello", host: str = "web1", seconds: float = 60, **more: Any) -> Outcome:
    reason = f"host {host}: version 2 failed here: not healthy within {seconds} s, it said {APP_SECRET} <!channel>"
    return Outcome(
        Blocked(host, app, reason, "reconcile logs hello", "1", ("log with Hush in it",), kind="quarantined"), **more
    )


FAILED = "version 2 failed here: not healthy within … s, it said *** <!channel>; version 1 still runs"
