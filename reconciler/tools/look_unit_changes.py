"""Reads which files of a host change what systemd makes of an app's units. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from reconciler.model.observed import UnitChange
from reconciler.tools.look_records import Processes
from reconciler.tools.rendering import package_text

_SETTING = re.compile(r"^([A-Z][0-9A-Za-z]*)=", re.MULTILINE)


def read_unit_changes(app: str, slots: Collection[str], processes: Processes) -> tuple[UnitChange, ...]:
    """Return the files that change the units of these slots, those first that forbid a start."""
    units = {f"{app}@{slot}.service": slot for slot in sorted(slots)}
    found = [UnitChange("masked", path, (units[unit],)) for unit, path in processes.masked.items() if unit in units]
    found += [UnitChange("instead", path, (units[unit],)) for unit, path in processes.instead.items() if unit in units]
    dropins: dict[str, list[str]] = {}
    for unit, slot in units.items():
        for path in processes.dropins.get(unit, ()):
            dropins.setdefault(path, []).append(slot)
    for path, changed in sorted(dropins.items()):
        settings = tuple(dict.fromkeys(processes.settings.get(path, ())))
        ours = tuple(each for each in settings if each in own_settings())
        adds = tuple(each for each in settings if each not in ours)
        found.append(UnitChange("dropin", path, tuple(changed), ours, adds))
    return tuple(found)


@cache
def own_settings() -> frozenset[str]:
    """The settings that the unit of some app makes."""
    names = ("app@.service.j2", "user-app@.service.j2")
    return frozenset(key for name in names for key in _SETTING.findall(package_text(f"templates/{name}")))
