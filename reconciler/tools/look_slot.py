"""Reads one slot of an app from a look: its files, its unit and its processes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.identity import Copies, Identity
from reconciler.model.machine import Layout
from reconciler.model.observed import CHANGED, Slot, UnitState
from reconciler.model.target import LOOPBACK
from reconciler.tools import systemd
from reconciler.tools.certificates import certificate_path
from reconciler.tools.elixir import EPMD_UNIT
from reconciler.tools.framing import Unfit, number
from reconciler.tools.look_records import LARGEST, NEVER, Listener, Processes, Unit
from reconciler.tools.traefik import htpasswd_path

UNKNOWN = Identity("unknown-0", "unknown", "unknown")  # started by someone else, as before an adoption
STATES: dict[str, UnitState] = {
    "active": "active",
    "reloading": "active",
    "activating": "activating",
    "deactivating": "deactivating",
    "failed": "failed",
}
Records = Mapping[str, Sequence[tuple[str, ...]]]


@dataclass(frozen=True)
class Places:
    """The paths of one app's files."""

    app: str
    layout: Layout

    @property
    def unit(self) -> str:
        return f"{self.layout.units}/{self.app}@.service"

    @property
    def epmd(self) -> str:
        return f"{self.layout.units}/{EPMD_UNIT}"

    @property
    def route(self) -> str:
        return f"{self.layout.traefik}/{self.app}.yml"

    @property
    def htpasswd(self) -> str:
        return htpasswd_path(self.layout.traefik, self.app)

    @property
    def certificate(self) -> str:
        return certificate_path(self.layout.traefik, self.app)

    @property
    def handed_over(self) -> tuple[str, ...]:
        """The paths that an app's first start takes over. passwd and group stand for its user and group."""
        folders = (f"/var/lib/{self.app}", f"/var/lib/private/{self.app}", f"/run/{self.app}")
        releases = tuple(f"{self.layout.releases}/{self.app}/{folder}" for folder in ("releases", "slots"))
        return *folders, "/etc/passwd", "/etc/group", *releases

    def env(self, slot: str) -> str:
        return f"{self.layout.env}/{self.app}/{slot}.env"

    def holds(self, path: str) -> bool:
        """True if this is a file or folder of this app."""
        own = [f"{folder}/{self.app}/" for folder in (self.layout.releases, self.layout.env, self.layout.state)]
        return path in (self.unit, self.route, self.htpasswd, self.certificate) or f"{path}/".startswith(tuple(own))


@dataclass(frozen=True)
class Sight:
    """Everything that a look shows of one app, and of what it shares with others."""

    places: Places
    records: Records
    sums: Mapping[str, str]  # path → sha256
    processes: Processes
    inventory: Mapping[str, str]  # path → sha256 of the text that reconcile wrote
    address: str = LOOPBACK  # where the app's instances are asked

    @cached_property
    def copies(self) -> Copies:
        return Copies.among(folder for _, folder in self.of("release"))

    def of(self, kind: str) -> Sequence[tuple[str, ...]]:
        """The records of this kind."""
        return self.records.get(kind, ())

    def first(self, kind: str) -> str:
        """The first value of the first record of this kind, "" if there is none."""
        return next((record[0] for record in self.of(kind)), "")

    def heads(self, kind: str, name: str) -> list[str]:
        """The comment lines of a file of that slot or name."""
        return [head for owner, head in self.of(kind) if owner == name]

    def as_written(self, path: str) -> bool:
        """True if the file has the text that reconcile wrote, or if it is missing and reconcile wrote none."""
        return self.sums.get(path) == self.inventory.get(path)


def state_of(unit: Unit) -> UnitState:
    """Return the state of a unit: `activating` if a job of systemd waits for it, as at boot; `inactive` if unknown.

    A unit that deactivates without a job has ended by itself, and systemd is about to start it again.
    """
    state = STATES.get(unit.state, "inactive")
    waits = unit.job not in ("-", "0")
    return "activating" if (state, waits) in (("inactive", True), ("deactivating", False)) else state


def read_slot(name: str, sight: Sight) -> Slot:
    """Return the slot as its files, its unit and its processes show it. Raises Unfit."""
    unit = f"{sight.places.app}@{name}.service"
    if unit not in sight.processes.units:
        raise Unfit(f"systemd does not know {unit}", f"systemctl show {unit} on the host")
    env_path = sight.places.env(name)
    prepared, keys = systemd.read_env_head(sight.heads("env", name))
    trial, _ = systemd.read_env_head(sight.heads("trial", name))
    slot = Slot(
        name=name,
        prepared=prepared if any(slot == name for slot, _ in sight.of("link")) else None,
        env_keys=keys,
        files_intact=sight.as_written(env_path) and (not prepared or _linked_release(name, sight) == prepared.release),
        enabled=(name,) in sight.of("enabled"),
    )
    if trial and trial != prepared:  # if they are equal, it was accepted a moment ago
        slot = replace(slot, prepared=trial, env_keys=(), files_intact=True, on_trial=True, previous=slot.prepared)
    slot = _with_unit(slot, sight.processes.units[unit])
    slot = replace(slot, running=_running_identity(slot, unit, sight))
    return _with_processes(slot, unit, sight.processes, sight.address)


def _linked_release(name: str, sight: Sight) -> str:
    """Return the release that the slot's link leads to, by the name of its copy; "" if it does not lead to one."""
    folder = next((target for slot, target in sight.of("link") if slot == name), "").rpartition("/")[2].strip("-")
    return sight.copies.name(folder) if folder else ""


def _with_unit(slot: Slot, unit: Unit) -> Slot:
    return replace(
        slot,
        state=state_of(unit),
        invocation=unit.invocation.strip("-"),
        restarts=0 if unit.restarts == "-" else int(unit.restarts),
        since="" if unit.since == "-" else unit.since,
        last_exit="" if unit.result == "-" else f"{unit.result}, status {unit.status.strip('-')}",
    )


def listens(unit: str, port: str, processes: Processes) -> bool:
    """True if a process of this unit listens on the port of 127.0.0.1."""
    return any(listener.rank(LOOPBACK) < NEVER for listener in _held_sockets(unit, port, processes))


def _held_sockets(unit: str, port: str, processes: Processes) -> set[Listener]:
    pids = processes.pids.get(unit, set())
    listeners = processes.listening.get(port, set())
    return {listener for listener in listeners if processes.holders.get(listener.inode, set()) & pids}


def _with_processes(slot: Slot, unit: str, processes: Processes, address: str) -> Slot:
    pids = processes.pids.get(unit, set())
    memory_kib = number(str(sum(processes.memory_kib.get(pid, 0) for pid in pids)), LARGEST, "its memory")
    held = _held_sockets(unit, slot.name, processes)
    slot = replace(
        slot,
        listening=any(listener.rank(address) < NEVER for listener in held),
        elsewhere=bool(held) and all(listener.rank(address) >= NEVER for listener in held),
        exposed=any(listener.exposed(address) for listener in held),
        keeps_files=processes.main.get(unit) in processes.keepers,
        open_connections=processes.opened.get(slot.name, 0),
        memory_kib=memory_kib,
    )
    stranger = _stranger(unit, slot.name, processes, address)
    if stranger is None:
        return slot
    own, owner = unit.partition("@")[0], _app_of(stranger, processes)
    # The look may not have found all of the app's own processes if it has many, but it knows the app's user.
    if owner == own and slot.running_now:
        return slot
    certain = owner != own if owner or own in processes.users.values() else not pids
    return replace(
        slot, stranger=f"the app {owner}" if owner not in ("", own) else "another program", port_lost=certain
    )


def _app_of(listener: Listener, processes: Processes) -> str:
    """Return the app whose process listens, by its unit or else by its user; "" if it is not one of our apps."""
    holders = processes.holders.get(listener.inode, set())
    units = (unit for unit, pids in sorted(processes.pids.items()) if "@" in unit and pids & holders)
    return next(units, processes.users.get(listener.user, "")).partition("@")[0]


def _stranger(unit: str, port: str, processes: Processes, address: str) -> Listener | None:
    """Return the listener that gets the port's connections, if it is not a process of this unit; else None."""
    nearest = min((listener.rank(address) for listener in processes.listening.get(port, set())), default=NEVER)
    if nearest >= NEVER:
        return None
    receiving = {listener for listener in processes.listening[port] if listener.rank(address) == nearest}
    if receiving & _held_sockets(unit, port, processes):
        return None
    return min(receiving, key=lambda listener: listener.inode)


def _running_identity(slot: Slot, unit: str, sight: Sight) -> Identity | None:
    """Return what the main process was started from, or None if there is none.

    Root noted it, or it is what systemd starts from the slot's files as they are. The process itself is not believed:
    it can change its environment and its folder. If they contradict the files, these may have changed since its start.
    """
    pid = sight.processes.main.get(unit)
    if pid is None:  # a crashing unit has no process between two starts; its files say what the next one will run
        return slot.prepared if slot.state == "activating" else None
    for name, invocation, folder, identity in sight.of("started"):
        if (name, invocation) == (slot.name, slot.invocation):
            return _started_from(folder, identity, sight)
    would_start = _would_start(slot, sight)
    folder = sight.processes.folders.get(pid, "")
    claim = sight.processes.started_from.get(pid, str(would_start))
    if claim == str(would_start) and sight.copies.name(folder) in ("", would_start.release):
        return would_start
    return replace(would_start, env=CHANGED)


def _started_from(folder: str, identity: str, sight: Sight) -> Identity:
    read = Identity.read(identity) or Identity("", CHANGED, CHANGED)
    return replace(read, release=UNKNOWN.release if folder == "-" else sight.copies.name(folder))


def _would_start(slot: Slot, sight: Sight) -> Identity:
    """Return what systemd would start now, by the slot's files: the code by the link, the rest by the env file."""
    if slot.on_trial and slot.prepared:
        return slot.prepared
    if slot.prepared is None:
        return UNKNOWN
    release = _linked_release(slot.name, sight) or UNKNOWN.release
    if sight.as_written(sight.places.env(slot.name)) and sight.as_written(sight.places.unit):
        return replace(slot.prepared, release=release)
    return Identity(release, CHANGED, CHANGED)
