"""The observed state: what one look at a host showed. It may be out of date, but it is never guessed.

There are two kinds of facts. Most are read from the host in one look. A few are *evidence*: something watched over time
in this pass (`healthy_for_seconds`, `failure`, `drained`, `unconfirmed`, `uncertified`, `hook_failed`). Evidence
belongs to the invocation it was seen on and lasts only until the next look. After a crash, the next pass gathers it
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from reconciler.errors import Kind
from reconciler.model.identity import Identity
from reconciler.model.observed_job import ObservedJob

TRAEFIK = "traefik"
"""The name of the app that a managed Traefik runs as; no other app may have it."""

EDGE = "edge"
"""In place of a slot: the route of an app whose instances run on other hosts, too. Its file lists one for each host."""

CHANGED = "changed"
"""In place of a digest: the file from which an instance may have been started was not as reconcile had written it."""

UnitState = Literal["inactive", "active", "activating", "deactivating", "failed"]


@dataclass(frozen=True)
class Slot:
    """A fixed place on a host, with one unit name and one port, and the instance in it."""

    name: str
    prepared: Identity | None = None  # what the next start will run, by its files
    env_keys: tuple[tuple[str, str], ...] = ()  # (variable, digest of its value) as in the env file
    files_intact: bool = True  # env file and link are as we wrote them
    on_trial: bool = False  # the instance is not accepted yet: a reboot forgets it
    previous: Identity | None = None  # the instance that it replaced and that a reboot brings back
    state: UnitState = "inactive"
    running: Identity | None = None  # what the main process was started from
    invocation: str = ""  # systemd's id of this start
    restarts: int = 0
    since: str = ""  # when the unit became active, as the host prints it
    last_exit: str = ""  # how its last process ended
    memory_kib: int = 0
    enabled: bool = False
    listening: bool = False  # a process of this unit listens on the slot's port
    stranger: str | None = None  # another program that listens on the port and receives its traffic
    port_lost: bool = False  # it is certain that `stranger` receives it
    elsewhere: bool = False  # a process of this unit listens on the port, but not on 127.0.0.1
    exposed: bool = False  # it listens on an address that other machines can reach
    keeps_files: bool = False  # its main process has a file in the state folder open for writing, such as a database
    open_connections: int = 0
    health: str = ""  # answer of the health path at the look: "200", "503", "connection refused"
    healthy: bool | None = None  # None: not asked
    healthy_for_seconds: float | None = None  # evidence
    failure: str | None = None  # evidence: why we stopped waiting for it to become healthy
    log_tail: tuple[str, ...] = ()
    drained: bool = False  # evidence

    @property
    def occupied(self) -> bool:
        """True if something runs here, would run at boot, or has files here."""
        return self.state != "inactive" or self.enabled or self.prepared is not None or self.previous is not None

    @property
    def running_now(self) -> bool:
        return self.state in ("active", "activating") and self.running is not None


@dataclass(frozen=True)
class Quarantine:
    """A release and env that failed on this host, and why. It is not tried again until the desired state changes."""

    identity: Identity
    reason: str
    at_epoch_seconds: int
    attempt: str = ""  # digest of the migration and the health check; a change of it allows another try


Hold = Literal["", "armed", "refused"]
"""The place where visitors wait while an only instance is replaced: it is there, or this host could not make it."""

HookName = Literal["after_rollout", "on_failure"]
"""The hooks that run when a rollout has ended. `before_migrate` is a part of the migration."""
HOOKS: Final[tuple[HookName, ...]] = get_args(HookName)
HookState = Literal["due", "begun", "done", "failed"]


@dataclass(frozen=True)
class HookMark:
    """The hook that a rollout of this identity has made due on this host, and how far it got. A host has the last one.

    `begun` was written before the hook ran; without a sign of life it means that nothing noticed its end.
    """

    hook: HookName
    identity: Identity
    state: HookState
    reason: str | None = None  # why it failed


@dataclass(frozen=True)
class RouteFile:
    """The route file that we wrote for an app: the slot it names and the digest of its contents.

    On an edge the slot is EDGE, the digest is that of everything but the servers, and `servers` lists them.
    """

    slot: str
    digest: str
    intact: bool  # byte for byte as we wrote it
    htpasswd_intact: bool = True  # the password file that it names is as we wrote it, or it names none
    age_seconds: int = 0  # since it was written, on the host's clock
    parts: tuple[tuple[str, str], ...] = ()  # (name of a part, digest of it), as in `TargetRoute`
    attempt: int = 0  # number of this write: no other of this app's routes has it
    servers: tuple[tuple[str, str], ...] = ()  # (host, slot), on an edge
    certificate_intact: bool = True  # as `htpasswd_intact`, of the file with its certificate and key

    @property
    def as_written(self) -> bool:
        """True if neither the file nor those that it names were changed on the host."""
        return self.intact and self.htpasswd_intact and self.certificate_intact


@dataclass(frozen=True)
class AppliedRoute:
    """The route of the app that Traefik has applied, as its API reports it."""

    slot: str
    digest: str
    problem: str | None = None  # why Traefik disabled the router, None if it did not
    attempt: int = 0  # that of the route file which Traefik has applied
    servers: tuple[str, ...] = ()  # address:port of each instance, on an edge
    down: tuple[str, ...] = ()  # those of them that fail Traefik's own health check


@dataclass(frozen=True)
class CrashDump:
    """The dump that a BEAM wrote when it crashed. The last one of each slot is kept."""

    path: str
    at_epoch_seconds: int


@dataclass(frozen=True)
class Unfitting:
    """The reason why a host's report about an app was rejected, in our own words, and what to do about it."""

    reason: str
    next_step: str | None = None


@dataclass(frozen=True)
class UnitChange:
    """A file of the host that reconcile did not write and that changes what systemd makes of an app's unit.

    A drop-in changes some settings, a mask forbids every start, and a unit file can count instead of reconcile's own.
    """

    kind: Literal["dropin", "masked", "instead"]
    path: str  # "-" if it has unusual characters
    slots: tuple[str, ...]
    changes: tuple[str, ...] = ()  # settings of a drop-in that reconcile's unit makes as well
    adds: tuple[str, ...] = ()  # its other settings


@dataclass(frozen=True)
class ObservedApp:
    """Everything about one app on one host. If `unreadable` is set, nothing else is, and the app is left alone."""

    slots: tuple[Slot, ...] = ()
    releases: tuple[str, ...] = ()  # complete ones, sorted
    leftovers: tuple[str, ...] = ()  # unfinished uploads, and damaged copies of releases
    migrated: tuple[str, ...] = ()  # what has migrated, see `Target.migration`
    quarantined: tuple[Quarantine, ...] = ()
    unit: str = ""  # digest of the template on disk, "" if there is none
    unit_intact: bool = True
    foreign: tuple[str, ...] = ()  # files in our places that we did not write
    taken: tuple[str, ...] = ()  # what is not ours in the places of the app's state or user; systemd would use it
    damaged: tuple[str, ...] = ()  # releases in use whose files differ from what was installed
    rights: tuple[str, ...] = ()  # files and folders of ours whose mode or owner was changed, each with what it is now
    unit_changes: tuple[UnitChange, ...] = ()
    owner: str | None = None  # the desired state that it belongs to, None before the first change
    commit: str | None = None  # the desired state's commit at the last change, None if that was read from files
    suspended: str | None = None  # who suspended it, until when and why; nothing is changed meanwhile
    route: RouteFile | None = None
    route_deleted: bool = False  # we wrote a route file, and it is gone
    applied: AppliedRoute | None = None
    by_hand: str | None = None  # Traefik only: a unit set up by hand that does its work and that we may take over from
    hand_ports: tuple[int, ...] = ()  # Traefik only: ports of its slots on which a unit set up by hand listens
    watched: tuple[str, ...] = ()  # Traefik only: the files it serves routes from
    markers: tuple[str, ...] = ()  # Traefik only: the markers of our route files that it has applied
    crash_dumps: tuple[CrashDump, ...] = ()
    jobs: tuple[ObservedJob, ...] = ()  # sorted by name
    jobs_unfinished: bool = False  # their files were being written when a pass was cut off
    hold: Hold = ""
    unreadable: Unfitting | None = None
    hook: HookMark | None = None
    hook_failed: bool = False  # evidence: this pass saw the end of the hook, and it failed
    unconfirmed: str | None = None  # evidence: how long we asked Traefik without success
    uncertified: str | None = None  # evidence: how long we waited for a certificate without success

    def slot(self, name: str) -> Slot:
        """The slot of this name, or an empty one if the look showed nothing of it."""
        for slot in self.slots:
            if slot.name == name:
                return slot
        return Slot(name)

    def job(self, name: str) -> ObservedJob:
        """The job of this name, or an empty one if the look showed nothing of it."""
        return next((job for job in self.jobs if job.name == name), ObservedJob(name))

    def with_slot(self, slot: Slot) -> ObservedApp:
        others = [other for other in self.slots if other.name != slot.name]
        return replace(self, slots=tuple(sorted([*others, slot], key=lambda other: other.name)))


@dataclass(frozen=True)
class HostFacts:
    """The machine itself."""

    now_epoch_seconds: int = 0
    memory_available_kib: int = 0
    disk_free_kib: int = 0  # of the file system of the releases; both are 0 if the host did not tell
    disk_kib: int = 0
    cores: int = 0  # 0 if the host did not tell
    arch: str = ""  # amd64, arm64, or what `uname -m` says; "" if the host did not tell
    zone: str = ""  # the host's time zone, if it has jobs and this is not UTC
    route_trouble: str | None = None  # why no route can be written, None if one can
    noexec: str | None = None  # where the releases' file system is mounted, if no program can be run from it
    traefik_up: bool = False  # a unit of Traefik runs or is starting, whether it answers or not


@dataclass(frozen=True)
class Lease:
    """The lease on a host: its holder alone may change the host.

    The generation grows with every new holder, so that a controller with a stale look cannot take it over.
    """

    generation: int = 0
    token: str = "-"  # noqa: S105 - it identifies the holder and grants no access
    left_seconds: int = 0
    holder: str = "-"
    abandoned: bool = False  # its holder is known to be dead

    def is_held_by_other(self, token: str) -> bool:
        return self.left_seconds > 0 and self.token != token and not self.abandoned


@dataclass(frozen=True)
class Certificate:
    """A certificate that Traefik has: its names, possibly `*.example.com`, and the time it expires."""

    names: tuple[str, ...]
    ends_epoch_seconds: int


@dataclass(frozen=True)
class ObservedHost:
    """One look at one host. `traefik` is None if Traefik answered, else what was seen instead.

    `entry_points` and `certificates` are Traefik's; None if it did not report them. `certificates_at` is the time at
    which these certificates were seen, on the host's clock: Traefik gets new ones between two looks.

    `locked` is set while another controller holds the host; then nothing may be changed.
    """

    host: str
    facts: HostFacts = HostFacts()
    lease: Lease = Lease()
    locked: str | None = None
    apps: dict[str, ObservedApp] = field(default_factory=dict)
    traefik: str | None = None
    entry_points: tuple[str, ...] | None = None
    certificates: tuple[Certificate, ...] | None = None
    certificates_at: int = 0

    @property
    def traefik_ports(self) -> tuple[int, ...]:
        """The API ports of the managed Traefik's running instances."""
        slots = self.app(TRAEFIK).slots
        return tuple(int(slot.name) for slot in slots if slot.running_now and slot.name.isdigit())

    @property
    def traefik_listens(self) -> tuple[int, ...]:
        """Those of `traefik_ports` on which Traefik itself listens, not another program."""
        return tuple(port for port in self.traefik_ports if self.app(TRAEFIK).slot(str(port)).listening)

    def app(self, name: str) -> ObservedApp:
        found = self.apps.get(name)
        return ObservedApp() if found is None else found

    def with_app(self, name: str, app: ObservedApp) -> ObservedHost:
        return replace(self, apps={**self.apps, name: app})


@dataclass(frozen=True)
class Unreachable:
    """A host that could not be looked at. It is not an empty host: nothing is decided about it."""

    host: str
    reason: str
    next_step: str | None = None
    retryable: bool = True
    kind: Kind = "unreachable"
