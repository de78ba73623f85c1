"""The real engine over model hosts. A test says how long looks and actions take; `expected` says what comes of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.apply.applier import Applier
from reconciler.decide.expected import expected_host, forget_evidence
from reconciler.engine.engine import Engine
from reconciler.engine.progress import Progress
from reconciler.host.transport import Transport
from reconciler.model.action import AnyAction, Blocked, ConfirmRoute, RemoveApp, WaitCertified
from reconciler.model.desired import App, Desired, Fleet, edges_of
from reconciler.model.observed import HostFacts, Lease, ObservedHost, Unreachable
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.model.traefik import Traefik
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import resolve, resolve_edge
from reconciler.targets.site import HostSite
from tests.decide.test_fleet import site

WHO = Controller("1-1", "anna", "reconcile", "c1")
QUIET = Progress(lambda event, **fields: None, terminal=False)
PLENTY = HostFacts(memory_available_kib=4_000_000, cores=4)


class NoTransport:
    """A connection that a model host does not need."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def close(self) -> None:
        return None


def opened(
    *apps: App, hosts: tuple[str, ...] = (), before: OpenFleet | None = None, artifact: str = "a" * 64
) -> OpenFleet:
    """A whole desired state, worked out. Connections of `before` are used again."""
    fleet = OpenFleet(Desired(Fleet(), apps, "c1", Path()), owner="reconcile", whole=True)
    for app in apps:
        for host in app.hosts:
            files = resolve(app, site(host), Traefik(), Path(), "a" * 64, lambda name: name)
            fleet.targets[files.key] = files
        for edge in edges_of(app):
            places = tuple((host, f"10.0.0.{number}") for number, host in enumerate(app.hosts, 1))
            files = resolve_edge(app, site(edge), Traefik(), Path(), lambda name: name, places)
            fleet.edges[files.key] = files
    for host in {*hosts, *(host for app in apps for host in (*app.hosts, *edges_of(app)))}:
        fleet.sites[host] = site(host)
        kept = before.hosts.get(host) if before else None
        fleet.hosts[host] = kept or cast(Transport, NoTransport(host))
    return fleet


@dataclass
class Stepping:
    """Model hosts. `slow` says for an action (or "look") how long it takes; `fails` what it raises."""

    hosts: dict[str, ObservedHost | Unreachable] = field(default_factory=dict)
    slow: Callable[[AnyAction | str], float] = lambda action: 0.0
    fails: Callable[[AnyAction], Exception | None] = lambda action: None
    done: list[AnyAction] = field(default_factory=list)
    cut: list[AnyAction] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    closed: list[tuple[str, list[str], bool]] = field(default_factory=list)  # host, apps in its history, lease kept
    under_way: list[AnyAction] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def observe(host: Any, site: HostSite, *_: object) -> ObservedHost | Unreachable:
            self.looks[host.name] += 1
            await asyncio.sleep(self.slow("look"))
            seen = self.hosts.setdefault(host.name, ObservedHost(host.name, PLENTY))
            if isinstance(seen, Unreachable):
                return seen
            return replace(seen, apps={name: forget_evidence(app) for name, app in seen.apps.items()})

        async def apply(applier: Applier, action: AnyAction, seen: ObservedHost) -> ObservedHost:
            self.under_way.append(action)
            try:
                await asyncio.sleep(self.slow(action))
                if error := self.fails(action):
                    raise error
            except asyncio.CancelledError:
                self.cut.append(action)
                raise
            finally:
                self.under_way.remove(action)
            self.done.append(action)
            after = expected_host(seen, action, applier.files.target)
            if not isinstance(action, ConfirmRoute | WaitCertified):  # their scripts take the lease
                after = replace(after, lease=Lease(seen.lease.generation + 1, applier.controller.token))
            app = after.app(action.app)
            if app.slots or app.route:
                app = replace(app, owner=app.owner or "reconcile")
            now = self.hosts[action.host]
            assert isinstance(now, ObservedHost)
            now = replace(now, lease=after.lease)
            gone = isinstance(action, RemoveApp)
            self.hosts[now.host] = _without(now, action.app) if gone else now.with_app(action.app, app)
            return _without(after, action.app) if gone else after.with_app(action.app, app)

        async def write_history(
            host: Any, site: HostSite, who: Controller, outcomes: list[Outcome], *, keep_lease: bool = False
        ) -> None:
            self.closed.append((host.name, [each.end.app for each in outcomes], keep_lease))
            now = self.hosts[host.name]
            if not keep_lease and isinstance(now, ObservedHost):
                self.hosts[host.name] = replace(now, lease=Lease(now.lease.generation))

        monkeypatch.setattr("reconciler.engine.fleet.observe", observe)
        monkeypatch.setattr(Applier, "apply", apply)
        monkeypatch.setattr("reconciler.apply.history.write_history", write_history)

    async def doing(self, app: str, verb: str) -> None:
        """Wait until this is under way."""
        while not any((action.app, action.verb) == (app, verb) for action in self.under_way):
            await asyncio.sleep(0.001)

    def verbs(self, app: str, host: str = "a") -> list[str]:
        return [action.verb for action in self.done if (action.app, action.host) == (app, host)]


def _without(seen: ObservedHost, app: str) -> ObservedHost:
    return replace(seen, apps={name: each for name, each in seen.apps.items() if name != app})


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> Stepping:
    model = Stepping()
    model.install(monkeypatch)
    return model


def engine_of(fleet: OpenFleet, reports: list[list[Outcome]] | None = None, **more: Any) -> Engine:
    told = [] if reports is None else reports
    return Engine(fleet, WHO, QUIET, lambda opened, outcomes, seconds: told.append(outcomes), **more)


def ends(outcomes: list[Outcome]) -> dict[tuple[str, str], str]:
    """By app and host: the version that it is converged to, or the kind of what is in the way."""
    return {
        (each.end.app, each.end.host): each.end.kind if isinstance(each.end, Blocked) else each.end.version
        for each in outcomes
    }
