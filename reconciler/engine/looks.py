"""Looks at hosts: at most one at a time per host, and the actions that end while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.clock import sleep_seconds
from reconciler.engine.fleet import look_at
from reconciler.engine.known import Known
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet

LOOK_AGAIN_SECONDS = 1.0


@dataclass
class Looks:
    """Looks store their result in `known` and set `changed`. `acting(host)` names the apps with an action under way."""

    opened: OpenFleet
    who: Controller
    known: Known
    changed: asyncio.Event
    acting: Callable[[str], set[str]]
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    timers: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    outdated: set[str] = field(default_factory=set)  # hosts to look at again when their running look ends
    acted: dict[str, set[str]] = field(default_factory=dict)  # apps that acted since the look at their host began
    held: bool = False

    def want(self, opened: OpenFleet, who: Controller) -> None:
        """Take a newer desired state. Running looks are repeated: they are about the older one."""
        self.opened, self.who, self.held = opened, who, False
        self.outdated |= self.running.keys() & opened.hosts.keys()

    def hold(self) -> None:
        """Cancel every look, and begin none until `want`."""
        self.held = True
        for work in [*self.running.values(), *self.timers.values()]:
            work.cancel()

    def begin(self, host: str) -> None:
        """Look at the host. If a look is running, which may have begun too early, look again after it."""
        if host in self.running:
            self.outdated.add(host)
        elif host in self.opened.hosts and not self.held:
            self.acted[host] = self.acting(host)
            self.running[host] = asyncio.create_task(self._look(host))

    def begin_later(self, host: str, seconds: float = LOOK_AGAIN_SECONDS) -> None:
        """Look at the host after so many seconds, unless a look is running or due."""
        if host not in self.timers and host not in self.running and not self.held:
            self.timers[host] = asyncio.create_task(self._begin_later(host, seconds))

    def note_action(self, host: str, app: str) -> None:
        """Note that an action of the app has ended: its reply is newer than what a running look shows of the app."""
        self.acted.setdefault(host, set()).add(app)

    async def _look(self, host: str) -> None:
        opened = self.opened
        try:
            seen = await look_at(opened, host, self.who)
        finally:
            del self.running[host]
            self.changed.set()
        if self.opened.sites.get(host) == opened.sites[host]:
            self.known.take_look(seen, self.acted[host] | self.acting(host))
        if host in self.outdated:
            self.outdated.discard(host)
            self.begin(host)

    async def _begin_later(self, host: str, seconds: float) -> None:
        try:
            await sleep_seconds(seconds)
        finally:
            del self.timers[host]
            self.changed.set()
        self.begin(host)
