"""What one app shall be on one host, with every digest worked out: what the pure core decides on."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.errors import Kind
from reconciler.model.observed import Identity


@dataclass(frozen=True)
class Controller:
    """Who changes hosts: the token tells our own lease from another's, the holder is shown to people."""

    token: str
    holder: str
    owner: str  # whose desired state: only apps that carry it are ever removed; "-" when it is not known
    revision: str | None = None  # the commit of the desired state; None for files as they lie on disk


@dataclass(frozen=True)
class TargetRoute:
    """Who may be served by the app. `digests` says, a slot, which digest its route file must carry."""

    domains: tuple[str, ...]
    digests: dict[str, str] = field(default_factory=dict)
    parts: tuple[tuple[str, str], ...] = ()  # (what the file says, digest of how): to tell what differs
    entry_points: tuple[str, ...] = ()
    certified: tuple[str, ...] = ()  # names for which Traefik is to have a certificate


@dataclass(frozen=True)
class Target:
    """One app on one host, as desired.

    `release` is None when the version has no known digest (an artifact that is gone, or cannot be asked for now): then
    a release of that version that is on the host already is the one meant, and if there is none the rollout is blocked.
    """

    host: str
    app: str
    version: str
    release: str | None
    env: str
    unit: str
    slots: tuple[str, ...]
    env_keys: tuple[tuple[str, str], ...] = ()
    route: TargetRoute | None = None
    health_path: str | None = None  # None: running is all that is asked, or the open port
    port_asked: bool = False  # without a health path: it is healthy while its port is open
    healthy_within_seconds: float = 60.0
    minimum_healthy_seconds: float = 2.0
    drain_seconds: float = 10.0
    migrates: bool = False
    keep_releases: int = 3
    soak_seconds: float = 0.0  # the old instance is kept warm for so long after the cutover
    only_report_drift: bool = False
    gone: bool = False  # the desired state names it no more: it is to be removed from this host
    attempt: str = ""  # digest of what else can make it succeed: the migration, and how health is asked
    behind: str | None = None  # why this desired state is older than what was applied to the host
    waits_for: str | None = None  # why it may not be removed yet
    proxy: bool = False  # it is Traefik itself: others are served through it
    too_many_removed: bool = False  # and that is because of how many others would go with it
    missing: str | None = None  # why no digest of the version is known
    missing_next: str | None = None  # what to do about that
    missing_kind: Kind = "artifact"
    comes_later: bool = False  # that can pass by itself

    @classmethod
    def removal(cls, host: str, app: str, waits_for: str | None = None, *, too_many: bool = False) -> Target:
        """An app that shall not be on this host any more."""
        return cls(host, app, "", None, "", "", (), gone=True, waits_for=waits_for, too_many_removed=too_many)

    def identity(self, release: str) -> Identity:
        return Identity(release, self.env, self.unit)

    @property
    def one_slot(self) -> bool:
        return len(self.slots) == 1
