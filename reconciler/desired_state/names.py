"""The names in a folder of desired state, read quickly and without checks: for completion, which offers and never acts.

What cannot be read has no names. A name without the form of one is left out, so that none has a meaning in a shell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LARGEST_BYTES: Final = 200_000  # of all files that are read for one list: more would take longer than a key press may
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,60}")
_HOST: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9_.@:\[\]-]{0,254}")


def apps(folder: Path) -> list[str]:
    """The apps: each has a file of its name."""
    return _fit(_NAME, (path.stem for path in _app_files(folder)))


def environments(folder: Path) -> list[str]:
    """The environments, and production."""
    try:
        with os.scandir(folder / "environments") as entries:
            found = [Path(entry.path).stem for entry in entries if entry.name.endswith(".yaml") and entry.is_file()]
    except OSError:
        found = []
    return _fit(_NAME, ["production", *found])


def hosts(folder: Path) -> list[str]:
    """The hosts of fleet.yaml and of the apps."""
    fleet, *files = _read([folder / "fleet.yaml", *_app_files(folder)]) or [None]
    found = [*_keys(fleet, "hosts")]
    for app in (each for each in files if isinstance(each, dict)):
        listed = app.get("hosts")
        found += [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    return [name for name in _fit(_HOST, found) if not name.startswith("group:")]


def hosts_and_groups(folder: Path) -> list[str]:
    """The hosts, and the groups of fleet.yaml as they are named for an option: group:NAME."""
    known = next(iter(_read([folder / "fleet.yaml"])), None)
    entries = known.get("hosts") if isinstance(known, dict) else None
    listed = (
        [each.get("groups") for each in entries.values() if isinstance(each, dict)] if isinstance(entries, dict) else []
    )
    groups = [f"group:{group}" for each in listed if isinstance(each, list) for group in each]
    return [*hosts(folder), *_fit(_HOST, groups)]


def parts_of_app(folder: Path, app: str, key: str) -> list[str]:
    """The names below `jobs` or `processes` of an app."""
    if not _NAME.fullmatch(app):
        return []
    return _fit(_NAME, _keys(next(iter(_read([folder / "apps" / f"{app}.yaml"])), None), key))


def _app_files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder / "apps") as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.endswith(".yaml") and entry.is_file())
    except OSError:
        return []


def _read(paths: Iterable[Path]) -> list[object]:
    """The content of each file, None for one that cannot be read, until all together are too large."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[object] = []
    room = LARGEST_BYTES
    for path in paths:
        try:
            if not path.is_file():  # a pipe would never end
                raise OSError
            with path.open("rb") as file:
                content = file.read(room + 1)
            room -= len(content)
            found.append(yaml.load(content, Loader=loader) if room >= 0 else None)  # noqa: S506 - a safe loader
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            found.append(None)
        if room < 0:
            break
    return found


def _keys(document: object, key: str) -> list[object]:
    below = document.get(key) if isinstance(document, dict) else None
    return list(below) if isinstance(below, dict) else []


def _fit(form: re.Pattern[str], found: Iterable[object]) -> list[str]:
    return sorted({name for name in found if isinstance(name, str) and form.fullmatch(name)})
