"""One slot of an app, read from a look: what its files say, what its unit does, what its processes hold. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.observed import Identity, Slot, UnitState
from reconciler.tools import systemd
from reconciler.tools.look_sections import Places, Sections

UNKNOWN = Identity("unknown-0", "unknown", "unknown")  # somebody else started it, as before an adoption
STATES: dict[str, UnitState] = {
    "active": "active",
    "reloading": "active",
    "activating": "activating",
    "deactivating": "deactivating",
    "failed": "failed",
}


def state_of(show: dict[str, str]) -> UnitState:
    """What a unit does; one that systemd has yet to start, as at boot, is on its way, and an unknown one inactive."""
    state = STATES.get(show.get("ActiveState", ""), "inactive")
    return "activating" if state == "inactive" and show.get("Job") else state


def read_slot(name: str, lines: list[list[str]], sections: Sections, places: Places, inventory: dict[str, str]) -> Slot:
    """One slot as its files, its unit and its processes show it. `lines` are those of its app."""
    unit = f"{places.app}@{name}.service"
    link = next((line[2] for line in lines if line[0] == "link" and line[1] == name), "").rpartition("/")[2]
    env_path = places.env(name)
    prepared, keys = systemd.read_env_head(sections.heads.get(env_path, []))
    trial = next((" ".join(line[2:]) for line in lines if line[0] == "trial" and line[1] == name), "")
    tried, _ = systemd.read_env_head([trial] if trial else [])
    intact = sections.sums.get(env_path) == inventory.get(env_path) and (not prepared or link == prepared.release)
    slot = Slot(
        name=name,
        prepared=prepared if link else None,
        env_keys=keys,
        files_intact=intact,
        enabled=any(line[0] == "enabled" and line[1] == unit for line in lines),
    )
    if tried and tried != prepared:  # else it was accepted a moment ago
        slot = replace(slot, prepared=tried, env_keys=(), files_intact=True, on_trial=True, previous=slot.prepared)
    return _with_processes(_with_unit(slot, sections.units.get(unit, {})), unit, sections)


def _with_unit(slot: Slot, show: dict[str, str]) -> Slot:
    return replace(
        slot,
        state=state_of(show),
        invocation=show.get("InvocationID", ""),
        restarts=int(show.get("NRestarts") or 0),
        since=show.get("ActiveEnterTimestamp", ""),
        last_exit=_last_exit(show),
    )


def _last_exit(show: dict[str, str]) -> str:
    return f"{show.get('Result', '')}, status {show.get('ExecMainStatus', '')}" if show.get("Result") else ""


def _with_processes(slot: Slot, unit: str, sections: Sections) -> Slot:
    pids = {words[1] for words in sections.processes if words[0] == unit}
    port = f"{int(slot.name):04X}" if slot.name.isdigit() else ""
    inodes = {words[2] for words in sections.processes if words[0] == "listen" and words[1] == port}
    held = {
        words[2].removeprefix("socket:[").removesuffix("]")
        for words in sections.processes
        if words[0] == "socket" and words[1].split("/")[2] in pids
    }
    opened = [int(words[2]) for words in sections.processes if words[0] == "open" and words[1] == port]
    return replace(
        slot,
        running=_running(slot, pids, sections),
        listening=bool(inodes & held),
        stranger="another program" if inodes - held else "",
        open_connections=sum(opened),
        memory_kib=_memory(pids, sections),
    )


def _running(slot: Slot, pids: set[str], sections: Sections) -> Identity | None:
    """What the processes were started with. A program that wiped its own environment is taken at its files' word."""
    if not pids:  # a unit that crashes has none between two starts; its files say what the next one runs
        return slot.prepared if slot.state == "activating" else None
    for words in sections.processes:
        if words[0] == "environ" and words[1].split("/")[2] in pids:
            return Identity.read(words[1].partition("RECONCILE_INSTANCE=")[2])
    return slot.prepared or UNKNOWN


def _memory(pids: set[str], sections: Sections) -> int:
    total = 0
    for words in sections.processes:
        if words[0] == "memory" and words[1].split("/")[2] in pids:
            total += int("".join(filter(str.isdigit, " ".join(words[1:]).partition("VmRSS:")[2])) or 0)
    return total
