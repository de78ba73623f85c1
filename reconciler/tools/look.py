"""Reads the output of `scripts/look.sh`: one look at a host. Pure; tested on output saved from real hosts.

It never guesses. It rejects an incomplete reply as a whole; an app with a record of the wrong form becomes
`unreadable`, which does not affect the others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import cast

from reconciler.model.identity import Identity, is_damaged_copy
from reconciler.model.machine import Layout
from reconciler.model.observed import (
    TRAEFIK,
    CrashDump,
    Hold,
    HookMark,
    HookName,
    HookState,
    HostFacts,
    Lease,
    ObservedApp,
    Quarantine,
    RouteFile,
    Unfitting,
)
from reconciler.model.process_name import SEPARATOR
from reconciler.model.reserved import is_app_name
from reconciler.model.source import MACHINES
from reconciler.model.target import LOOPBACK
from reconciler.tools import systemd
from reconciler.tools.framing import Part, Unfit, Unreadable, read_parts
from reconciler.tools.look_jobs import read_jobs
from reconciler.tools.look_marks import read_suspension
from reconciler.tools.look_records import Processes, Unit, epoch, read_host, read_rights, read_sums, records_of
from reconciler.tools.look_slot import Places, Sight, listens, read_slot, state_of
from reconciler.tools.look_unit_changes import read_unit_changes
from reconciler.tools.route_settings import marker
from reconciler.tools.traefik import (
    DEFAULT_FILE,
    HAND_MARK,
    HAND_UNIT,
    read_route_head,
    read_route_servers,
    route_files,
)
from reconciler.words import printable

__all__ = ["Reply", "Unreadable", "layout_words", "read_reply"]


_ARCHES = {machine: arch for arch, machine in MACHINES.items()}


def layout_words(layout: Layout) -> tuple[str, ...]:
    """Return the folders in the order in which every script takes them."""
    return layout.releases, layout.env, layout.units, layout.state, layout.traefik


@dataclass(frozen=True)
class Reply:
    """The reply of a script: the exit status of its change (0 if it only looked), its journal lines, and the look."""

    status: int
    log: tuple[str, ...]
    facts: HostFacts
    lease: Lease
    apps: dict[str, ObservedApp]
    stderr: str = ""
    queued_seconds: float = 0.0  # the wait before the script started
    ended_well: bool = False  # the instance that was given up ended by itself with status 0
    other_ports: tuple[int, ...] = ()  # on which the instance that was given up listens instead of its own


@dataclass(frozen=True)
class _Looked:
    """The parts of a look that describe the host, not a single app."""

    host: dict[str, str]
    layout: Layout
    sums: dict[str, str]
    processes: Processes
    rights: dict[str, str]
    addresses: Mapping[str, str]

    @property
    def now(self) -> int:
        return int(self.host.get("now", 0))


def read_reply(
    data: bytes, layout: Layout, only: Collection[str] | None = None, addresses: Mapping[str, str] | None = None
) -> Reply:
    """Read one reply. Raises Unreadable if it is incomplete or malformed: half a look must not count as a look.

    With `only`, apps of other names are skipped. `addresses` has the address at which an app's instances are asked, for
    those that are not asked at 127.0.0.1.
    """
    parts = read_parts(data)
    single = {kind: _only(parts, kind) for kind in ("host", "sums", "units", "processes")}
    host = read_host(single["host"])
    processes = Processes()
    processes.read(single["units"])
    processes.read(single["processes"])
    rights = {path: is_now for part in parts if part.kind == "rights" for path, is_now in read_rights(part).items()}
    sums = read_sums(single["sums"])
    looked = _Looked(host, layout.at_home(host.get("home", "")), sums, processes, rights, addresses or {})
    apps: dict[str, ObservedApp] = {}
    for part in parts:
        if part.kind == "app" and is_app_name(part.name) and (only is None or part.name in only):
            if part.name in apps:
                raise Unreadable("it has an app twice")
            apps[part.name] = _read_app(part, looked)
    apps = _with_rights(_without_units_of_jobs(apps, looked.layout), looked)
    log = tuple(line for part in parts if part.kind == "log" for line in part.lines)
    ended = any(part.kind == "ended" for part in parts)
    ports = _read_ports([part.text for part in parts if part.kind == "ports"])
    return Reply(
        _status(parts), log, _read_facts(looked, apps), _read_lease(host), apps, ended_well=ended, other_ports=ports
    )


def _with_rights(apps: dict[str, ObservedApp], looked: _Looked) -> dict[str, ObservedApp]:
    """Add the changed modes and owners to the apps; to the first one those of the folders that all apps share."""
    shared = (looked.layout.state, looked.layout.env)
    for name in apps:
        places = Places(name, looked.layout)
        found = sorted(path for path in looked.rights if path in shared or places.holds(path))
        if not apps[name].unreadable and found:
            apps[name] = replace(apps[name], rights=tuple(f"{path} ({looked.rights[path]})" for path in found))
            shared = ("", "")
    return apps


def _only(parts: list[Part], kind: str) -> Part:
    found = [part for part in parts if part.kind == kind and part.name == "-"]
    if len(found) != 1:
        raise Unreadable(f"it has {len(found)} parts of kind {kind} instead of one")
    return found[0]


def _read_ports(texts: list[str]) -> tuple[int, ...]:
    if not all(re.fullmatch(r"([0-9]{1,5} ?){0,8}", text) for text in texts):
        raise Unreadable("the list of its ports is malformed")
    return tuple(int(port) for text in texts for port in text.split())


def _status(parts: list[Part]) -> int:
    results = [part.text for part in parts if part.kind == "result"]
    if not results:
        return 0
    if len(results) > 1 or not (results[0].isascii() and results[0].isdecimal() and len(results[0]) < 4):
        raise Unreadable("the exit status of the action is malformed")
    return int(results[0])


def _read_facts(looked: _Looked, apps: dict[str, ObservedApp]) -> HostFacts:
    host, others = looked.host, apps.keys() - {TRAEFIK}  # an app may be called traefik-something
    traefiks = [
        unit
        for name, unit in looked.processes.units.items()
        if name.startswith("traefik") and name.partition("@")[0] not in others
    ]
    free_kib, all_kib = _read_disk(host.get("disk", ""))
    return HostFacts(
        now_epoch_seconds=looked.now,
        memory_available_kib=int(host.get("memory", 0)),
        disk_free_kib=free_kib,
        disk_kib=all_kib,
        cores=_count_cores(host.get("cpus", "")),
        arch=_ARCHES.get(host.get("machine", ""), host.get("machine", "")),
        zone=host.get("zone", ""),
        route_trouble=host.get("noroutes"),
        noexec=host.get("noexec"),
        traefik_up=any(state_of(unit) in ("active", "activating") for unit in traefiks),
    )


def _read_disk(text: str) -> tuple[int, int]:
    """Return the free and all KiB from free blocks, all blocks and their bytes (`stat -f`). 0 if it printed none."""
    free, blocks, block_bytes = map(int, text.split() or (0, 0, 0))
    return free * block_bytes // 1024, blocks * block_bytes // 1024


def _count_cores(online: str) -> int:
    """Count the processors in a list such as "0-3,5" (the form of /sys/devices/system/cpu/online); 0 if empty."""
    ranges = [each.partition("-") for each in online.split(",") if each]
    return sum(max(int(last or first) - int(first) + 1, 1) for first, _, last in ranges)


def _read_lease(host: dict[str, str]) -> Lease:
    if "lease" not in host:
        return Lease()
    generation, token, left, holder = host["lease"].split(" ")
    return Lease(int(generation), token, int(left), holder)


def _read_app(part: Part, looked: _Looked) -> ObservedApp:
    try:
        if part.name in looked.processes.odd:
            raise Unfit("its unit or process record on the host is malformed")
        records = records_of(part)
        inventory = {path: sha for sha, path in records.get("inventory", [])}
        places = Places(part.name, looked.layout)
        address = looked.addresses.get(part.name, LOOPBACK)
        sight = Sight(places, records, looked.sums, looked.processes, inventory, address)
        app = _readable_app(sight, looked.now)
        return _with_traefik(app, sight) if part.name == TRAEFIK else app
    except Unfit as error:
        return ObservedApp(unreadable=Unfitting(str(error), error.next_step))


def _without_units_of_jobs(apps: dict[str, ObservedApp], layout: Layout) -> dict[str, ObservedApp]:
    """A job and a process of one name have units of one name: what the app's job has is not foreign to the process."""
    found = dict(apps)
    for name, app in apps.items():
        family, _, part = name.partition(SEPARATOR)
        if part and app.foreign and family in apps and apps[family].job(part).files:
            unit = Places(name, layout).unit
            found[name] = replace(app, foreign=tuple(path for path in app.foreign if path != unit))
    return found


def _readable_app(sight: Sight, now: int) -> ObservedApp:
    if sight.of("long"):
        file = sight.first("long")
        raise Unfit(f"its {file} is longer than allowed", f"look at the {file} of {sight.places.app} on the host")
    places, inventory = sight.places, sight.inventory
    named = sight.first("slots").split()
    slots = tuple(read_slot(slot, sight) for slot in sorted(named))
    folders = [name for _, name in sorted((float(at), name) for at, name in sight.of("release"))]
    names = [sight.copies.name(folder) for folder in folders]
    ours = [path for path in (places.unit, places.route, places.htpasswd, places.certificate) if path in sight.sums]
    ours += [places.env(slot.name) for slot in slots if places.env(slot.name) in sight.sums]
    return ObservedApp(
        slots=slots,
        releases=tuple(name for name in names if not name.startswith(".") and not is_damaged_copy(name)),
        leftovers=tuple(name for name in names if name.startswith(".") or is_damaged_copy(name)),
        migrated=tuple(name for (name,) in sight.of("migrated")),
        hook=next((_read_hook(*record) for record in sight.of("hook")), None),
        quarantined=tuple(_read_quarantine(*record) for record in sight.of("quarantine")),
        unit=systemd.read_unit_head(sight.first("unit")),
        unit_intact=sight.as_written(places.unit) and (places.epmd not in inventory or sight.as_written(places.epmd)),
        foreign=tuple(path for path in ours if path not in inventory),
        taken=tuple(place for place in places.handed_over if (place,) in sight.of("taken")),
        unit_changes=read_unit_changes(places.app, named, sight.processes),
        damaged=tuple(
            name for (folder,) in sight.of("damaged") if not is_damaged_copy(name := sight.copies.name(folder))
        ),
        owner=sight.first("owner") or None,
        commit=sight.first("commit") or None,
        suspended=next((read_suspension(record, now, places.app) for record in sight.of("suspended")), None),
        route=_read_route(sight, now),
        route_deleted=places.route in inventory and places.route not in sight.sums,
        crash_dumps=tuple(
            CrashDump(f"/var/lib/{places.app}/erl_crash.{slot}.dump", epoch(at, "the time of its crash dump"))
            for at, slot in sight.of("dump")
        ),
        jobs=read_jobs(sight, now),
        jobs_unfinished=bool(sight.of("jobs")),
        hold=cast("Hold", sight.first("hold")),
    )


def _with_traefik(app: ObservedApp, sight: Sight) -> ObservedApp:
    """Add what is specific to Traefik. It does not have a route, so a file of its name belongs to someone else."""
    layout = sight.places.layout
    hand, default = f"{layout.units}/{HAND_UNIT}", f"{layout.traefik}/{DEFAULT_FILE}"
    state = state_of(sight.processes.units.get(HAND_UNIT, Unit()))
    hand_records = [text for (text,) in sight.of("hand")]
    works = "enabled" in hand_records or state in ("active", "activating")
    ours = hand in sight.inventory or any(HAND_MARK in line for line in hand_records)
    foreign = tuple(path for path in app.foreign if path != sight.places.route)
    certificate = bool(sight.of("certificate")) and sight.as_written(default)
    slots = app.slots if certificate else tuple(replace(slot, files_intact=False) for slot in app.slots)
    ports = sorted(slot.name for slot in slots if slot.name.isdigit())
    return replace(
        app,
        slots=slots,
        route=None,
        foreign=(*foreign, hand) if works and not ours else foreign,
        by_hand=HAND_UNIT if works and ours else None,
        hand_ports=tuple(int(port) for port in ports if listens(HAND_UNIT, port, sight.processes)),
        watched=route_files([name for (name,) in sight.of("watched")]),
        markers=_markers(sight),
    )


def _markers(sight: Sight) -> tuple[str, ...]:
    """Return the markers that Traefik's API shows once it has applied our route files."""
    found = []
    for file, head in sorted(sight.of("served")):
        name = file.removesuffix(".yml")
        slot, digest, *_ = read_route_head([head])
        if slot and file == f"{name}.yml" and is_app_name(name):
            found.append(marker(name, slot, digest))
    return tuple(found)


def _read_route(sight: Sight, now: int) -> RouteFile | None:
    places = sight.places
    if places.route not in sight.sums:
        return None
    head = [line for (line,) in sight.of("route")]
    slot, route_digest, attempt, parts = read_route_head(head)
    written = epoch(sight.first("routed") or "0", "the time of its route")
    age_seconds = max(0, now - written) if written else 0
    intact, htpasswd_intact = sight.as_written(places.route), sight.as_written(places.htpasswd)
    servers, certificate_intact = read_route_servers(head), sight.as_written(places.certificate)
    return RouteFile(
        slot, route_digest, intact, htpasswd_intact, age_seconds, parts, attempt, servers, certificate_intact
    )


def _read_quarantine(at: str, failed: str, reason: str) -> Quarantine:
    *parts, attempt = failed.split("/") if failed.count("/") == 3 else [failed, ""]
    identity = Identity.read("/".join(parts)) or Identity(failed, "", "")
    return Quarantine(identity, printable(reason, 1000), epoch(at, "a time in its quarantine"), attempt)


def _read_hook(hook: str, identity: str, state: str, reason: str) -> HookMark:
    read = Identity.read(identity) or Identity(identity, "", "")
    return HookMark(cast("HookName", hook), read, cast("HookState", state), printable(reason, 1000) or None)
