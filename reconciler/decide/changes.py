"""What people changed between two desired states, key by key. Pure.

Values of variables are compared and never returned: a plan is posted where more people read it than the repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from reconciler.model.desired import App, Desired
from reconciler.model.overrides import Overrides
from reconciler.model.references import references_in
from reconciler.words import printable

Path = tuple[str, ...]
How = Literal["added", "removed", "changed"]

LONGEST_VALUE = 80
_HOOKS = ("before_migrate", "after_rollout", "on_failure")
_NAMED = {"env": "env", "processes": "process", "jobs": "job", "hosts": "host", "overrides": "override"}
"""Blocks whose keys are names that people choose, and what one of them is called."""
_ORDER = ("version", "artifact", "hosts", "ports", "start", "env", "route", "health", "migrate", "processes", "jobs")


@dataclass(frozen=True)
class Change:
    """One key that differs. `app` is "" for the fleet; `before` and `after` are "" where a value is not shown."""

    app: str
    key: str
    how: How
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """The change as one phrase: `version 1.4.1 → 1.4.2`, `env GREETING changed`."""
        if self.before and self.after:
            return f"{self.key} {self.before} → {self.after}"
        return f"{self.key} {self.how}" + (f": {self.after or self.before}" if self.after or self.before else "")


def changes(
    before: Desired, after: Desired, sealed_before: Mapping[str, str], sealed_after: Mapping[str, str]
) -> tuple[Change, ...]:
    """Return every change, those of the fleet first, then app by app.

    `sealed_…` has the digest of the ciphertext of each secret, "" if it is not in the repository.
    """
    old, new = ({app.app: app for app in desired.apps} for desired in (before, after))
    found = _between("", _fleet_leaves(before), _fleet_leaves(after))
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            found.append(Change(name, "app", "added", after=_summary(new[name])))
        elif name not in new:
            found.append(Change(name, "app", "removed", before=_summary(old[name])))
        elif old[name] != new[name]:
            found += _between(name, _leaves_of(old[name]), _leaves_of(new[name]))
        if name in new and (old.get(name) != new[name] or sealed_before != sealed_after):
            found += _secret_changes(old.get(name), new[name], sealed_before, sealed_after)
    return tuple(found)


def _summary(app: App) -> str:
    return printable(f"{app.version} on {', '.join(app.hosts)}", LONGEST_VALUE)


@dataclass(frozen=True)
class _Leaf:
    text: str  # to compare
    shown: str  # "" for a value that is not shown


def _leaves_of(app: App) -> dict[Path, _Leaf]:
    return dict(_walk(app, ()))


def _fleet_leaves(desired: Desired) -> dict[Path, _Leaf]:
    # The defaults are a part of each app already.
    return dict(_walk(desired.fleet.model_copy(update={"defaults": None}), ()))


def _walk(value: object, path: Path) -> Iterator[tuple[Path, _Leaf]]:
    if isinstance(value, BaseModel):
        named = value.model_fields_set if isinstance(value, Overrides) else type(value).model_fields
        fields = {field: getattr(value, field) for field in named}
        if fields.keys() == {"secret"}:
            yield path, _Leaf(f"secret {fields['secret']}", f"secret {fields['secret']}")
            return
        value = fields
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, (*path, str(key)))
    elif isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, str(index)))
    elif value is None and path[:1] == ("overrides",) and (len(path) == 3 or path[2] == "env"):
        yield path, _Leaf("null", "" if _is_private(path) else "taken away")
    elif value is not None and value != ():
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield path, _Leaf(repr(value), "" if _is_private(path) else printable(text, LONGEST_VALUE) or '""')


def _is_private(path: Path) -> bool:
    """True for the value of a variable, and for addresses of channels, which often contain a token."""
    return "env" in path[:-1] or path[0] == "notify"


def _between(app: str, old: Mapping[Path, _Leaf], new: Mapping[Path, _Leaf]) -> list[Change]:
    old_places, new_places = _places(old), _places(new)
    found: dict[Path, Change] = {}
    for path in sorted(old.keys() | new.keys(), key=_rank):
        before, after = old.get(path), new.get(path)
        if before and after:
            if before.text != after.text:
                found[path] = Change(app, _name(path), "changed", before.shown, after.shown)
            continue
        how: How = "added" if after else "removed"
        place = _outermost(path, old_places if after else new_places)
        if place not in found:
            shown = _shown_of(place, new if after else old)
            before_after = ("", shown) if after else (shown, "")
            found[place] = Change(app, _name(place), how, *before_after)
    return list(found.values())


def _places(leaves: Mapping[Path, _Leaf]) -> frozenset[Path]:
    return frozenset(path[:length] for path in leaves for length in range(1, len(path) + 1))


def _outermost(path: Path, others: frozenset[Path]) -> Path:
    """The outermost block of `path` that the other side does not have: a whole route, process, job or host."""
    least = 2 if path[0] in _NAMED else 1
    return next((path[:length] for length in range(least, len(path)) if path[:length] not in others), path)


def _shown_of(place: Path, leaves: Mapping[Path, _Leaf]) -> str:
    """The value at this place, or the most telling one inside of it."""
    for inside in ((), ("domains",), ("run",), ("start",), ("address",)):
        if leaf := leaves.get((*place, *inside)):
            return leaf.shown
    return ""


def _rank(path: Path) -> tuple[int, Path]:
    return (_ORDER.index(path[0]) if path[0] in _ORDER else len(_ORDER), path)


def _name(path: Path) -> str:
    first, *rest = path
    if first in _HOOKS:
        return " ".join(["hook", ".".join(path)])
    if first not in _NAMED or not rest:
        return ".".join(path)
    name, *inner = rest
    env = " ".join([" env", *inner[1:]]) if inner[:1] == ["env"] else ""
    return f"{_NAMED[first]} {name}" + (env or "".join(f" {part}" for part in inner))


def _secret_changes(
    old: App | None, new: App, sealed_before: Mapping[str, str], sealed_after: Mapping[str, str]
) -> list[Change]:
    known = {each.name for each in references_in(old, old.app)} if old else set()
    found = []
    for name in sorted({each.name for each in references_in(new, new.app)}):
        sealed = sealed_after.get(name, "")
        if name not in known:
            where = "encrypted in the repository" if sealed else "not in the repository: the controller must know it"
            found.append(Change(new.app, f"secret {name}", "added", after=where))
        elif sealed != sealed_before.get(name, ""):
            what = (
                "encrypted again: a new value, or the same for other keys" if sealed else "no longer in the repository"
            )
            found.append(Change(new.app, f"secret {name}", "changed", after=what))
    return found
