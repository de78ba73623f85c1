"""Units of an app that others have masked, replaced or changed on the host. Pure.

Such a file is the doing of the host's administrator: it is named, and stays.
"""

from __future__ import annotations

from typing import Final

from reconciler.decide.case import Case
from reconciler.decide.exposure import Note
from reconciler.model.action import Blocked
from reconciler.model.observed import ObservedApp, UnitChange

_MOST_SHOWN = 5
# A drop-in that makes one of these settings decides whether an instance can start at all.
_OF_A_START: Final = frozenset(("Type", "ExecStart", "WorkingDirectory", "EnvironmentFile", "User", "DynamicUser"))


def refuse_unit_change(case: Case) -> Blocked | None:
    """Return Blocked if systemd does not start the chosen slot, or takes another unit file for it."""
    slot = case.slot
    found = next((each for each in case.app.unit_changes if each.kind != "dropin" and slot.name in each.slots), None)
    if found is None:
        return None
    unit = f"{case.target.app}@{slot.name}.service"
    if found.kind == "instead":
        reason = f"systemd takes {_named(found)} for slot {slot.name}, not the unit file that reconcile wrote"
        return case.block("foreign", reason, f"move it away on the host, then: {_systemctl(found)} daemon-reload")
    effect = "it runs, but would not start again after a reboot" if slot.running_now else "systemd does not start it"
    return case.block("host", f"{unit} is masked on this host: {effect}", _unmask(found, unit))


def unit_change_notes(case: Case) -> list[Note]:
    """Return notes on the idle slots in which the next version could not start, and one on all drop-ins."""
    notes = [note for each in case.app.unit_changes if (note := _idle_note(case, each))]
    drop_ins = [each for each in case.app.unit_changes if each.kind == "dropin"]
    if not drop_ins:
        return notes
    undo = f"rm {' '.join(map(_named, drop_ins))} && {_systemctl(drop_ins[0])} daemon-reload"
    next_step = f"if that is not wanted, on the host: {undo}; what runs keeps it until its next start"
    return [*notes, Note("; ".join(map(_change_text, drop_ins)), next_step)]


def start_is_changed(app: ObservedApp, slot: str) -> str | None:
    """Return the drop-ins that decide how an instance of this slot starts, and what they set, or None."""
    found = [
        f"{_named(each)} sets {_listed(changes)}"
        for each in app.unit_changes
        if each.kind == "dropin" and slot in each.slots
        if (changes := tuple(key for key in (*each.changes, *each.adds) if _decides_start(key)))
    ]
    return "; ".join(found) or None


def _decides_start(key: str) -> bool:
    return key in _OF_A_START or key.startswith(("ExecStartPre", "ExecCondition", "Condition", "Assert", "Root"))


def _change_text(found: UnitChange) -> str:
    sets = [f"sets {_listed(found.changes)} in place of what reconcile wrote"] * bool(found.changes)
    sets += [f"adds {_listed(found.adds)}"] * bool(found.adds)
    return f"{_named(found)} changes its unit" + (f": it {' and '.join(sets)}" if sets else "")


def _idle_note(case: Case, found: UnitChange) -> Note | None:
    idle = [slot for slot in found.slots if slot in case.target.slots and slot != case.slot.name]
    if found.kind == "dropin" or not idle:
        return None
    unit = f"{case.target.app}@{idle[0]}.service"
    if found.kind == "instead":
        text = f"{_named(found)} counts in place of the unit of slot {idle[0]}: the next version could not start there"
        return Note(text, f"move it away on the host, then: {_systemctl(found)} daemon-reload")
    return Note(f"{unit} is masked: the next version could not start there", _unmask(found, unit))


def _unmask(found: UnitChange, unit: str) -> str:
    runtime = " --runtime" if found.path.startswith("/run/") else ""
    return f"on the host: {_systemctl(found)} unmask{runtime} {unit}"


def _systemctl(found: UnitChange) -> str:
    return "systemctl --user" if "/systemd/user" in found.path else "systemctl"


def _named(found: UnitChange) -> str:
    return found.path if found.path != "-" else "a file whose path has unusual characters"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (" and more" if len(names) > _MOST_SHOWN else "")
