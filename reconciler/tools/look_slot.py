"""One slot of an app, read from a look: what its files say, what its unit does, what its processes hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.model.machine import Layout
from reconciler.model.observed import Identity, Slot, UnitState
from reconciler.tools import systemd
from reconciler.tools.elixir import EPMD_UNIT
from reconciler.tools.framing import Unfit, number
from reconciler.tools.look_records import LARGEST, Listener, Processes, Unit
from reconciler.tools.traefik import htpasswd_path

UNKNOWN = Identity("unknown-0", "unknown", "unknown")  # somebody else started it, as before an adoption
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
    """The files of one app."""

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
    def handed_over(self) -> tuple[str, ...]:
        """What an app's first start takes; for its user and group the files that would name one who has it already."""
        folders = (f"/var/lib/{self.app}", f"/var/lib/private/{self.app}", f"/run/{self.app}")
        releases = tuple(f"{self.layout.releases}/{self.app}/{folder}" for folder in ("releases", "slots"))
        return *folders, "/etc/passwd", "/etc/group", *releases

    def env(self, slot: str) -> str:
        return f"{self.layout.env}/{self.app}/{slot}.env"


@dataclass(frozen=True)
class Sight:
    """All that a look shows of one app and of what it shares with others."""

    places: Places
    records: Records
    sums: Mapping[str, str]  # path → sha256
    processes: Processes
    inventory: Mapping[str, str]  # path → sha256 of what we wrote

    def of(self, kind: str) -> Sequence[tuple[str, ...]]:
        return self.records.get(kind, ())

    def first(self, kind: str) -> str:
        """The first value of the first such record, "" for none."""
        return next((record[0] for record in self.of(kind)), "")

    def heads(self, kind: str, name: str) -> list[str]:
        """The comment lines of a file of that slot or name."""
        return [head for each, head in self.of(kind) if each == name]

    def as_written(self, path: str) -> bool:
        """It is there as we wrote it, or is not there and we wrote none."""
        return self.sums.get(path) == self.inventory.get(path)


def state_of(unit: Unit) -> UnitState:
    """What a unit does; one that systemd has yet to start, as at boot, is on its way, and an unknown one inactive."""
    state = STATES.get(unit.state, "inactive")
    return "activating" if state == "inactive" and unit.job not in ("-", "0") else state


def read_slot(name: str, sight: Sight) -> Slot:
    """One slot as its files, its unit and its processes show it. Raises Unfit."""
    unit = f"{sight.places.app}@{name}.service"
    if unit not in sight.processes.units:
        raise Unfit(f"systemd says nothing of {unit}", f"systemctl show {unit} on the host")
    link = next((target for slot, target in sight.of("link") if slot == name), "").rpartition("/")[2]
    link = "" if link == "-" else link
    env_path = sight.places.env(name)
    prepared, keys = systemd.read_env_head(sight.heads("env", name))
    tried, _ = systemd.read_env_head(sight.heads("trial", name))
    slot = Slot(
        name=name,
        prepared=prepared if any(each == name for each, _ in sight.of("link")) else None,
        env_keys=keys,
        files_intact=sight.as_written(env_path) and (not prepared or link == prepared.release),
        enabled=(name,) in sight.of("enabled"),
    )
    if tried and tried != prepared:  # else it was accepted a moment ago
        slot = replace(slot, prepared=tried, env_keys=(), files_intact=True, on_trial=True, previous=slot.prepared)
    return _with_processes(_with_unit(slot, sight.processes.units[unit]), unit, sight.processes)


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
    """A process of this unit listens there."""
    return bool(_held_sockets(unit, port, processes))


def _held_sockets(unit: str, port: str, processes: Processes) -> set[Listener]:
    pids = processes.pids.get(unit, set())
    return {each for each in processes.listening.get(port, set()) if processes.holders.get(each.inode, set()) & pids}


def _with_processes(slot: Slot, unit: str, processes: Processes) -> Slot:
    pids = processes.pids.get(unit, set())
    memory_kib = number(str(sum(processes.memory_kib.get(pid, 0) for pid in pids)), LARGEST, "its memory")
    slot = replace(
        slot,
        running=_running_identity(slot, unit, processes),
        listening=listens(unit, slot.name, processes),
        open_connections=processes.opened.get(slot.name, 0),
        memory_kib=memory_kib,
    )
    stranger = _stranger(unit, slot.name, processes)
    if stranger is None:
        return slot
    own, owner = unit.partition("@")[0], _app_of(stranger, processes)
    # Its own process may be one that was not found among many; its user is known in any case.
    if owner == own and slot.running_now:
        return slot
    certain = owner != own if owner or own in processes.users.values() else not pids
    return replace(
        slot, stranger=f"the app {owner}" if owner not in ("", own) else "another program", port_lost=certain
    )


def _app_of(listener: Listener, processes: Processes) -> str:
    """The app of ours whose process it is, by its unit or else by its user; "" for none that is known."""
    holders = processes.holders.get(listener.inode, set())
    units = (unit for unit, pids in sorted(processes.pids.items()) if "@" in unit and pids & holders)
    return next(units, processes.users.get(listener.user, "")).partition("@")[0]


def _stranger(unit: str, port: str, processes: Processes) -> Listener | None:
    """Who gets what is sent to the port, when it is none of this unit's processes."""
    nearest = min((each.kind for each in processes.listening.get(port, set())), default=3)
    if nearest == 3:
        return None
    receiving = {each for each in processes.listening[port] if each.kind == nearest}
    return None if receiving & _held_sockets(unit, port, processes) else min(receiving, key=lambda each: each.inode)


def _running_identity(slot: Slot, unit: str, processes: Processes) -> Identity | None:
    """What the main process was started with. A program that wiped its own environment is taken at its files' word."""
    pid = processes.main.get(unit)
    if pid is None:  # a unit that crashes has none between two starts; its files say what the next one runs
        return slot.prepared if slot.state == "activating" else None
    return Identity.read(processes.started_from.get(pid, "")) or slot.prepared or UNKNOWN
