"""What one look at a host showed. It may be old already; it is never guessed.

Two kinds of facts stand side by side. Most are read off the host in one look. A few are *evidence*: something watched
over time in this pass (`healthy_for_seconds`, `failure`, `drained`, `unconfirmed`, `uncertified`). Evidence is bound to
the invocation it was seen on, lives only until the next look, and is gathered anew by whoever comes after a crash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.errors import Kind

TRAEFIK = "traefik"
"""The app as which a managed Traefik runs; no other app may have this name."""

_IDENTITY = re.compile("/".join([r"([0-9A-Za-z._+~-]{1,128})"] * 3))

UnitState = Literal["inactive", "active", "activating", "deactivating", "failed"]


@dataclass(frozen=True)
class Identity:
    """What an instance is made of: three digests that say whether it is the one wanted. No name, no port."""

    release: str  # release id, <version>-<first 12 of the artifact's sha256>
    env: str  # digest of every variable and of the start command
    unit: str  # digest of the unit template

    def __str__(self) -> str:
        return f"{self.release}/{self.env}/{self.unit}"

    @property
    def version(self) -> str:
        return self.release.rpartition("-")[0]

    @classmethod
    def read(cls, text: str) -> Identity | None:
        """Of exactly this form; None for any other text."""
        found = _IDENTITY.fullmatch(text.strip(" "))
        return cls(*found.groups()) if found else None


@dataclass(frozen=True)
class Slot:
    """A fixed place on a host, one unit name and one port, and the instance in it."""

    name: str
    prepared: Identity | None = None  # what its files say the next start will run
    env_keys: tuple[tuple[str, str], ...] = ()  # (variable, digest of its value) as in the env file
    files_intact: bool = True  # env file and link are as we wrote them
    on_trial: bool = False  # what it runs is not accepted yet: a reboot forgets it
    previous: Identity | None = None  # what it was started in the place of, and a reboot brings back
    state: UnitState = "inactive"
    running: Identity | None = None  # what the main process was started from
    invocation: str = ""  # systemd's id of this start
    restarts: int = 0
    since: str = ""  # when the unit became active, in the host's words
    last_exit: str = ""  # how its last process ended
    memory_kib: int = 0
    enabled: bool = False
    listening: bool = False  # a process of this unit listens on the slot's port
    stranger: str | None = None  # somebody else listens there, and gets what is sent to the port
    port_lost: bool = False  # and that is certain
    open_connections: int = 0
    health: str = ""  # what the health path answered at the look: "200", "503", "connection refused"
    healthy: bool | None = None  # None: not asked
    healthy_for_seconds: float | None = None  # evidence
    failure: str | None = None  # evidence: why waiting for health was given up
    log_tail: tuple[str, ...] = ()
    drained: bool = False  # evidence

    @property
    def occupied(self) -> bool:
        """Something runs here, would run at boot, or has files here."""
        return self.state != "inactive" or self.enabled or self.prepared is not None or self.previous is not None

    @property
    def running_now(self) -> bool:
        return self.state in ("active", "activating") and self.running is not None


@dataclass(frozen=True)
class Quarantine:
    """A release and env that failed on this host, and why; not tried again until the desired state changes."""

    identity: Identity
    reason: str
    at_epoch_seconds: int
    attempt: str = ""  # digest of the migration and of how health was asked; another one is worth another try


@dataclass(frozen=True)
class RouteFile:
    """Our Traefik file of an app: the slot it names and the digest of what it says."""

    slot: str
    digest: str
    intact: bool  # byte for byte what we wrote
    htpasswd_intact: bool = True  # so is the file of passwords that it names, or it names none
    age_seconds: int = 0  # since it was written, on the host's clock
    parts: tuple[tuple[str, str], ...] = ()  # (what it says, digest of how), as in `TargetRoute`

    @property
    def as_written(self) -> bool:
        """Nobody changed it on the host, nor what it names."""
        return self.intact and self.htpasswd_intact


@dataclass(frozen=True)
class AppliedRoute:
    """What Traefik holds for the app, asked of its API."""

    slot: str
    digest: str
    problem: str | None = None  # Traefik disabled the router, and why


@dataclass(frozen=True)
class CrashDump:
    """What a BEAM left when it crashed; the last one of each slot is kept."""

    path: str
    at_epoch_seconds: int


@dataclass(frozen=True)
class Unfitting:
    """Why what a host says of an app was not read, in words of ours, and what to do about it."""

    reason: str
    next_step: str | None = None


@dataclass(frozen=True)
class ObservedApp:
    """Everything of one app on one host. One that is `unreadable` has nothing else, and is left alone."""

    slots: tuple[Slot, ...] = ()
    releases: tuple[str, ...] = ()  # complete ones, sorted
    leftovers: tuple[str, ...] = ()  # unfinished uploads
    migrated: tuple[str, ...] = ()
    quarantined: tuple[Quarantine, ...] = ()
    unit: str = ""  # digest of the template on disk, "" when absent
    unit_intact: bool = True
    foreign: tuple[str, ...] = ()  # files at our places that we did not write
    taken: tuple[str, ...] = ()  # where systemd would put the app's state or user at its first start, and is not ours
    damaged: tuple[str, ...] = ()  # releases in use whose tree is not what was installed
    owner: str | None = None  # whose desired state it belongs to, None before the first change
    commit: str | None = None  # of the desired state by which it was changed last, None when that was of files
    suspended: str | None = None  # who, until when and why; nothing is changed meanwhile
    route: RouteFile | None = None
    route_deleted: bool = False  # we wrote one, and it is not there
    applied: AppliedRoute | None = None
    by_hand: str | None = None  # Traefik only: a unit that somebody set up does its work, and may be taken over from
    hand_ports: tuple[int, ...] = ()  # Traefik only: those of its slots on which a unit listens that somebody set up
    watched: tuple[str, ...] = ()  # Traefik only: the files it serves routes from
    markers: tuple[str, ...] = ()  # Traefik only: what shows that it has applied those of them that are ours
    crash_dumps: tuple[CrashDump, ...] = ()
    unreadable: Unfitting | None = None
    unconfirmed: str | None = None  # evidence: how long Traefik was asked in vain
    uncertified: str | None = None  # evidence: how long a certificate was waited for in vain

    def slot(self, name: str) -> Slot:
        """The slot of that name; an empty one when nothing of it was seen."""
        return next((slot for slot in self.slots if slot.name == name), Slot(name))

    def with_slot(self, slot: Slot) -> ObservedApp:
        others = [other for other in self.slots if other.name != slot.name]
        return replace(self, slots=tuple(sorted([*others, slot], key=lambda each: each.name)))


@dataclass(frozen=True)
class HostFacts:
    """The machine itself."""

    now_epoch_seconds: int = 0
    memory_available_kib: int = 0
    route_trouble: str | None = None  # why no route can be written
    traefik_up: bool = False  # a unit of Traefik's runs or is being started, whether it answers or not


@dataclass(frozen=True)
class Lease:
    """Who may change the host. The generation grows with every new holder: a stale look cannot take it over."""

    generation: int = 0
    token: str = "-"  # noqa: S105 - says who, opens nothing
    left_seconds: int = 0
    holder: str = "-"
    abandoned: bool = False  # its holder is known to be dead

    def is_held_by_other(self, token: str) -> bool:
        return self.left_seconds > 0 and self.token != token and not self.abandoned


@dataclass(frozen=True)
class Certificate:
    """One that Traefik holds: the names it is for, `*.example.com` among them, and when it ends."""

    names: tuple[str, ...]
    ends_epoch_seconds: int


@dataclass(frozen=True)
class ObservedHost:
    """One look at one host. `traefik` is None when it answered, else what was seen instead.

    `entry_points` and `certificates` are Traefik's; None when it did not say. It gets certificates between two looks:
    `certificates_at` says when these were seen, on the host's clock.

    `locked` says that another controller has the host: nothing may be changed now.
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
        """The API port of each Traefik of ours that runs."""
        slots = self.app(TRAEFIK).slots
        return tuple(int(slot.name) for slot in slots if slot.running_now and slot.name.isdigit())

    @property
    def traefik_listens(self) -> tuple[int, ...]:
        """Those of them on which it listens itself."""
        return tuple(port for port in self.traefik_ports if self.app(TRAEFIK).slot(str(port)).listening)

    def app(self, name: str) -> ObservedApp:
        return self.apps.get(name, ObservedApp())

    def with_app(self, name: str, app: ObservedApp) -> ObservedHost:
        return replace(self, apps={**self.apps, name: app})


@dataclass(frozen=True)
class Unreachable:
    """A host that could not be seen. It is not an empty host: nothing is decided about it."""

    host: str
    reason: str
    next_step: str | None = None
    retryable: bool = True
    kind: Kind = "unreachable"
