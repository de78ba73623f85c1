"""The target: one app on one host as desired, with every digest worked out. The pure core decides on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from reconciler.errors import Kind
from reconciler.model.identity import Identity
from reconciler.model.observed import HookName


@dataclass(frozen=True)
class Controller:
    """The controller that changes hosts. `token` distinguishes our lease from others, `holder` is shown to people."""

    token: str
    holder: str
    owner: str  # the desired state's mark: only apps that carry it are ever removed; "-" if it is not known
    revision: str | None = None  # the commit of the desired state; None if it was read from files


@dataclass(frozen=True)
class OwnCertificate:
    """The certificate that a route brings along: the secret that it is in, its names, and when it ends."""

    secret: str
    names: tuple[str, ...]
    ends_epoch_seconds: int


@dataclass(frozen=True)
class TargetRoute:
    """The route of the app. `digests` has, for each slot, the digest that its route file must carry."""

    domains: tuple[str, ...]
    digests: dict[str, str] = field(default_factory=dict)
    parts: tuple[tuple[str, str], ...] = ()  # (name of a part of the file, digest of it), to report what differs
    entry_points: tuple[str, ...] = ()
    certified: tuple[str, ...] = ()  # names that Traefik should have a certificate for
    guarded: tuple[str, ...] = ()  # the keys of the route that keep some visitors out
    held: dict[str, str] = field(default_factory=dict)  # as `digests`, of the route by which visitors wait
    in_etcd: bool = False  # all edges read one route, so what marks a write must not differ between them
    certificate: OwnCertificate | None = None  # None: Traefik obtains those of `certified`


def route_digests(slots: Iterable[str]) -> dict[str, str]:
    """The digests of the routes that an app host seems to have: the slot alone tells them apart."""
    return {slot: f"edges-{slot}" for slot in slots}


LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class TargetJob:
    """A job that runs on this host: its files, each with the sha256 of its text, and whether it has a timer."""

    name: str
    files: tuple[tuple[str, str], ...]
    timed: bool = False
    zoned: bool = True  # its times name their time zone, or it has none


@dataclass(frozen=True)
class Target:
    """One app on one host, as desired.

    `release` is None if the digest of the version's artifact is not known: the artifact is gone or cannot be reached
    now. Then a release of that version that is already on the host is used; if there is none, the rollout is blocked.
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
    health_path: str | None = None  # None: a running process is enough, or an open port (`port_asked`)
    health_headers: tuple[tuple[str, str], ...] = ()
    port_asked: bool = False  # without a health path: the instance is healthy while its port is open
    healthy_within_seconds: float = 60.0
    minimum_healthy_seconds: float = 2.0
    drain_seconds: float = 10.0
    migrates: bool = False
    before_migrate: bool = False  # a hook comes before the migration
    hooks: tuple[HookName, ...] = ()  # those that run when a rollout has ended
    hooks_each_host: tuple[HookName, ...] = ()  # those of them that run on every host, not only on one
    jobs: tuple[TargetJob, ...] = ()  # sorted by name
    firewalled: bool = False  # visitors cannot reach its ports past Traefik although it may listen on every address
    migrate_when: tuple[str, ...] = ()  # variables with a new value of which a release migrates again
    migrate_env: str = ""  # digest of the values of `migrate_when`
    runs_own_program: bool = False  # it is started by a program of its release, not by one of the host
    keep_releases: int = 3
    soak_seconds: float = 0.0  # how long the old instance is kept warm after the cutover
    only_report_drift: bool = False
    gone: bool = False  # the desired state does not name it any more: remove it from this host
    attempt: str = ""  # digest of the migration, its hook and the health check, which can also decide about success
    behind: str | None = None  # why this desired state may not replace the one applied to the host, None if it may
    waits_for: str | None = None  # why it may not be removed yet
    lets_jobs_end: bool = False  # it goes on elsewhere: its removal waits for runs of its jobs, and does not end them
    owner: str = "-"  # which desired state this is, "-" if that is not known
    address: str = LOOPBACK  # where its instances listen: the host's private address if visitors come by edges
    edges: tuple[str, ...] = ()  # the hosts whose Traefik sends visitors to it; without any, that of its own host does
    places: tuple[tuple[str, str], ...] = ()  # of an edge: (host of the app, its private address)
    proxy: bool = False  # this is Traefik itself, which serves the other apps
    too_many_removed: bool = False  # it may not be removed yet because too many others would be removed with it
    missing: str | None = None  # why the digest of the version's artifact is not known
    missing_next: str | None = None  # what to do about `missing`
    missing_kind: Kind = "artifact"
    comes_later: bool = False  # the cause of `missing` can pass by itself
    by_arch: dict[str, Target] = field(
        default_factory=dict
    )  # the same, for each architecture that has its own artifact

    @classmethod
    def removal(
        cls, host: str, app: str, waits_for: str | None = None, *, too_many: bool = False, lets_jobs_end: bool = False
    ) -> Target:
        """The target for an app that must be removed from this host."""
        target = cls(host, app, "", None, "", "", (), gone=True, waits_for=waits_for, too_many_removed=too_many)
        return replace(target, lets_jobs_end=lets_jobs_end)

    def on(self, arch: str) -> Target:
        """The target for a host of this architecture: its artifact may be another one than for others."""
        return self.by_arch.get(arch, self)

    def arch_of(self, release: str) -> str | None:
        """The architecture that this release is for; None if it is the same for all."""
        return next((arch for arch, target in self.by_arch.items() if target.release == release), None)

    @property
    def releases(self) -> tuple[str | None, ...]:
        """The release, or that of each architecture."""
        return (self.release, *(target.release for target in self.by_arch.values()))

    def identity(self, release: str) -> Identity:
        return Identity(release, self.env, self.unit)

    def migration(self, release: str) -> str:
        """The name under which a host remembers that this release has migrated, with these values of `migrate_when`."""
        return f"{release}@{self.migrate_env}" if self.migrate_env else release

    @property
    def one_slot(self) -> bool:
        return len(self.slots) == 1
