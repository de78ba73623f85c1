"""What the engine knows of the fleet: for each app on each host, the last look or a newer reply of an action."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from reconciler.clock import epoch_seconds
from reconciler.decide.expected import forget_evidence
from reconciler.model.action import Blocked
from reconciler.model.fleet import Key
from reconciler.model.observed import Lease, ObservedHost, Unreachable
from reconciler.model.target import Controller


@dataclass
class Known:
    """The observations, the errors of actions since the last look, and what git answered about older commits."""

    hosts: dict[str, ObservedHost | Unreachable] = field(default_factory=dict)
    failed: dict[Key, Blocked] = field(default_factory=dict)
    behind: dict[Key, tuple[str | None, str | None, str | None]] = field(default_factory=dict)  # host's, ours, answer
    looked_at: dict[str, float] = field(default_factory=dict)  # epoch seconds of the last look at each host

    def take_look(self, look: ObservedHost | Unreachable, newer: Collection[str]) -> None:
        """Take in a look, except for the apps in `newer`: they have acted since it began, so their replies count.

        If there are none, the look is the newest there is, even if its lease is older: a host that lost its power may
        have lost the last lease, too.
        """
        before = self.hosts.get(look.host)
        if isinstance(look, ObservedHost) and isinstance(before, ObservedHost):
            kept = {app: before.apps[app] for app in newer if app in before.apps}
            others = {app: each for app, each in look.apps.items() if app not in newer}
            lease = _newer_lease(before.lease, look.lease) if newer else look.lease
            look = replace(look, apps={**others, **kept}, lease=lease)
        self.hosts[look.host] = look
        self.looked_at[look.host] = epoch_seconds()

    def take_reply(self, app: str, begun: ObservedHost, after: ObservedHost) -> bool:
        """Take in `after`, the reply of an action decided on `begun`. False if the host must be looked at instead."""
        now = self.hosts.get(begun.host)
        if not isinstance(now, ObservedHost):
            return False
        changed = {name: new for name in _SHARED if (new := getattr(after, name)) != getattr(begun, name)}
        now = replace(now, **changed, lease=_newer_lease(now.lease, after.lease))
        if app in after.apps:
            self.hosts[now.host] = now.with_app(app, after.apps[app])
        else:
            self.hosts[now.host] = replace(now, apps={name: each for name, each in now.apps.items() if name != app})
        return True

    def forget_evidence(self, key: Key) -> None:
        """Drop the evidence that was watched for another target: it proves nothing for this one."""
        app, host = key
        seen = self.hosts.get(host)
        if isinstance(seen, ObservedHost) and app in seen.apps:
            self.hosts[host] = seen.with_app(app, forget_evidence(seen.apps[app]))

    def commit_of(self, key: Key) -> str | None:
        """The commit of the last change of the app on the host; None if unknown."""
        seen = self.hosts.get(key[1])
        return seen.app(key[0]).commit if isinstance(seen, ObservedHost) else None

    def must_ask_git(self, key: Key, who: Controller) -> bool:
        """True if another commit of the same desired state changed the app, and git was not asked about it yet."""
        seen = self.hosts.get(key[1])
        if who.revision is None or not isinstance(seen, ObservedHost):
            return False
        app = seen.app(key[0])
        if app.commit in (None, who.revision) or app.owner != who.owner:
            return False
        return self.behind.get(key, _NOT_ASKED)[:2] != (app.commit, who.revision)

    def forget_hosts(self, names: Collection[str]) -> None:
        """Forget hosts whose connection settings have changed: the looks may have been at another machine."""
        self.hosts = {name: seen for name, seen in self.hosts.items() if name not in names}
        self.failed = {key: each for key, each in self.failed.items() if key[1] not in names}

    def why_behind(self, key: Key, revision: str | None) -> str | None:
        """The reason why our revision is older than the host's; None if it is not, or if git was not asked."""
        commit, ours, answer = self.behind.get(key, _NOT_ASKED)
        return answer if (commit, ours) == (self.commit_of(key), revision) else None


_NOT_ASKED = (None, None, None)
_SHARED = ("facts", "traefik", "entry_points", "certificates", "certificates_at")  # of the host, shared by all apps


def _newer_lease(one: Lease, other: Lease) -> Lease:
    return other if other.generation >= one.generation else one
