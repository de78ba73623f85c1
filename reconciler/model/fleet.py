"""The whole fleet: what shall run on it, and what is known of it now. The two arguments of `next_steps`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.model.action import AnyAction, Blocked
from reconciler.model.desired import App
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Target

Key = tuple[str, str]
"""(app, host): one app on one host."""


@dataclass(frozen=True)
class DesiredFleet:
    """Every target, in the order in which apps and their hosts are written, and how an app goes over its hosts."""

    targets: Mapping[Key, Target]
    apps: Mapping[str, App] = field(default_factory=dict)
    refused: Mapping[Key, Blocked] = field(default_factory=dict)  # what cannot be worked out, with the reason
    hosts: tuple[str, ...] = ()  # all that are looked at, those without a target too
    owner: str = "-"
    prunes: bool = False  # the targets are all there is: what else is ours is removed
    allow_prune: bool = False  # even if that is a large part of all apps
    rollouts_at_once: Mapping[str, int] = field(default_factory=dict)  # by host, where fleet.yaml says so
    elsewhere: frozenset[str] = frozenset()  # hosts of other shards: they are at most looked at
    edges: Mapping[Key, Target] = field(default_factory=dict)  # what each edge routes, beside `targets` of the same key


@dataclass(frozen=True)
class SeenFleet:
    """What is known of the fleet now. A host that is missing from `hosts` has not been looked at yet."""

    hosts: Mapping[str, ObservedHost | Unreachable] = field(default_factory=dict)
    under_way: Mapping[Key, AnyAction] = field(default_factory=dict)
    begun: frozenset[Key] = frozenset()  # has acted since it was last at rest: it goes on and waits for nothing
    looking: frozenset[str] = frozenset()  # hosts that are being looked at afresh
    closing: frozenset[str] = frozenset()  # hosts whose lease is being given back
    failed: Mapping[Key, Blocked] = field(default_factory=dict)  # an action's error, until the next look
    behind: Mapping[Key, str] = field(default_factory=dict)  # why the desired state is older than what the host has
    rested: frozenset[Key] = frozenset()  # in a plan: the pause after these is over
    queue: tuple[Key, ...] = ()  # who waits for a place on a host, longest first
    token: str = ""  # of our own leases; "" where nothing is changed

    def host(self, name: str) -> ObservedHost | None:
        """The observation of that host; None where there is none."""
        seen = self.hosts.get(name)
        return seen if isinstance(seen, ObservedHost) else None

    def with_host(self, seen: ObservedHost | Unreachable) -> SeenFleet:
        return replace(self, hosts={**self.hosts, seen.host: seen})


@dataclass(frozen=True)
class Wait:
    """Something else is under way first; `reason` says what. It ends when that does."""

    host: str
    app: str
    reason: str
    for_place: bool = False  # it waits for a place on its host, where others are starting
    looks: tuple[tuple[str, float], ...] = ()  # it waits for time to pass: look at these hosts in so many seconds
