"""Add a host to fleet.yaml by editing its text, so that comments and layout stay. People commit the change."""

from __future__ import annotations

from pathlib import Path

from reconciler.desired_state.files import FLEET, FolderTree, collect
from reconciler.desired_state.load import label, read_fleet
from reconciler.desired_state.parts import read_parts
from reconciler.desired_state.yaml_text import Document, KeyPath, read_valid_yaml, read_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.files import write_whole
from reconciler.model.desired import Fleet
from reconciler.model.environment import PRODUCTION

HOSTS: KeyPath = ("hosts",)


def read_fleet_of(folder: Path, environment: str = "") -> Fleet:
    """Return the fleet from fleet.yaml on disk, committed or not; an empty fleet if the file does not exist.

    With an environment, its fleet. Raises InvalidDesiredState or UnknownEnvironment.
    """
    if environment in ("", PRODUCTION):
        return read_fleet(_content(folder), f"{label(folder)}/{FLEET}")
    parts = read_parts(collect(FolderTree(folder), label(folder)).files, label(folder), environment)
    if parts.fleet is None:
        raise InvalidDesiredState(tuple(sorted(set(parts.problems))))
    return parts.fleet.model


def add_host(folder: Path, name: str, keys: dict[str, str]) -> bool:
    """Set these keys of the host in fleet.yaml and create the file if needed. Return False if nothing had to change.

    Raises InvalidDesiredState or UsageError; the file is then unchanged.
    """
    path, before = folder / FLEET, _content(folder)
    file = f"{label(folder)}/{FLEET}"
    after = with_host((before or b"").decode("utf-8"), name, keys, file).encode("utf-8")
    read_fleet(after, file)
    if after == before:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, after)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "write it by hand") from error
    return True


def _content(folder: Path) -> bytes | None:
    return collect(FolderTree(folder), label(folder)).files.get(FLEET) if folder.is_dir() else None


def with_host(text: str, name: str, keys: dict[str, str], file: str) -> str:
    """Return the text with these keys of the host set. Raises UsageError if anything else would change with them."""
    document = read_valid_yaml(text.encode("utf-8"), file)
    if (*HOSTS, name) in document.places and document.places[(*HOSTS, name)].form == "block":
        edited = _with_keys(document, text, name, keys)
    else:
        edited = _with_entry(document, text, name, keys)
    after = read_yaml(edited.encode("utf-8"), file)
    if after.problems or after.value != _expected_document(document.value, name, keys):
        lines = "".join(_entry(name, keys, "  ")).rstrip()
        raise UsageError(f"{file} cannot be edited without changing more than {name}", f"add by hand:\nhosts:\n{lines}")
    return edited


def _expected_document(value: object, name: str, keys: dict[str, str]) -> object:
    whole = dict(value) if isinstance(value, dict) else {}
    hosts = whole.get("hosts")
    hosts = dict(hosts) if isinstance(hosts, dict) else {}
    entry = hosts.get(name)
    hosts[name] = {**(entry if isinstance(entry, dict) else {}), **keys}
    return {**whole, "hosts": hosts}


def _entry(name: str, keys: dict[str, str], indent: str) -> list[str]:
    return [f"{indent}{name}:\n", *(f"{indent}{indent}{key}: {_quote(value)}\n" for key, value in keys.items())]


def _quote(value: str) -> str:
    return f'"{value}"' if ":" in value else value


def _with_entry(document: Document, text: str, name: str, keys: dict[str, str]) -> str:
    """Add a new entry: first under `hosts:`, or at the end of the text with a `hosts:` of its own."""
    place = document.places.get(HOSTS)
    lines = text.splitlines(keepends=True)
    if place is None:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        return "".join([*lines, "\n" * bool(lines), "hosts:\n", *_entry(name, keys, "  ")])
    columns = [entry.key_column for path, entry in document.places.items() if len(path) == 2 and path[:1] == HOSTS]
    indent = " " * (columns[0] - 1 if columns else 2)
    at = place.key_line
    if not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    return "".join([*lines[:at], *_entry(name, keys, indent), *lines[at:]])


def _with_keys(document: Document, text: str, name: str, keys: dict[str, str]) -> str:
    """Replace the value of each key that is there, and add the others above the entry's first line."""
    entry = (*HOSTS, name)
    first = next(place for path, place in document.places.items() if len(path) == 3 and path[:2] == entry)
    line_start = text.rfind("\n", 0, first.start) + 1
    changes, new = [], ""
    for key, value in keys.items():
        place = document.places.get((*entry, key))
        if place is None:
            new += f"{' ' * (first.key_column - 1)}{key}: {_quote(value)}\n"
        elif text[place.start : place.end].strip("\"'") != value:
            space = " " if place.start == place.end else ""
            changes.append((place.start, place.end, space + _quote(value)))
    for start, end, value in sorted(changes, reverse=True):
        text = text[:start] + value + text[end:]
    return text[:line_start] + new + text[line_start:]
