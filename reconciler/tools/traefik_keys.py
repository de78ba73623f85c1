"""Traefik's KV provider: the routes of an app as keys. Pure. `etcd` speaks of them to an etcd.

The same content as in a route file, one key for each value, as Traefik's documentation of the KV providers has it:
`traefik/http/routers/shop/rule`. Traefik reads the whole tree again after a change, so what one transaction writes is
applied as one.

Beside the tree, where Traefik does not look, lies one record for each app. It names the owner and every key of the app:
a key that no record names is somebody else's.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ROOT: Final = "traefik"  # Traefik's own default
RECORDS: Final = "reconcile/routes"
MOST_KEYS: Final = 2000  # of one app, in its record
_KINDS: Final = ("http", "tcp")
_PARTS: Final = ("routers", "middlewares", "services")
_FORM: Final = "reconcile 1"
# Traefik does not watch an empty tree: it asks again after ever longer pauses. A service that no router names stays.
SEED: Final = {f"{ROOT}/http/services/reconcile-is-here/loadBalancer/servers/0/url": "http://127.0.0.1:9"}
_OWN_KEY: Final = re.compile(r"[!-~]{1,400}")

Keys = dict[str, str]


class NotAKey(ValueError):
    """A value that has no form in the KV provider."""


@dataclass(frozen=True)
class Record:
    """What the record of an app says: whose it is, and which keys it has."""

    owner: str
    keys: frozenset[str]


def record_key(app: str) -> str:
    """Return the key of the app's record."""
    return f"{RECORDS}/{app}"


def route_keys(content: Mapping[str, Any]) -> Keys:
    """Return the content of a route file as keys with their values. Raises NotAKey."""
    return dict(_keys(ROOT, content))


def _keys(place: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case dict() if value:
            for name, each in value.items():
                if not name or "/" in str(name):
                    raise NotAKey(f"{place}: {name!r} cannot be a part of a key")
                yield from _keys(f"{place}/{name}", each)
        case dict():
            yield place, "true"  # an empty block, such as `tls: {}`
        case list() | tuple():
            for number, each in enumerate(value):
                yield from _keys(f"{place}/{number}", each)
        case bool():
            yield place, "true" if value else "false"
        case str() | int():
            yield place, str(value)
        case _:
            raise NotAKey(f"{place}: {type(value).__name__} has no form as a key")


def fallback_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same content for a file: its routers come after those of etcd, and are there when etcd is not.

    Without a priority Traefik takes the length of the rule. One less keeps the order among different routes.
    """
    found = copy.deepcopy(dict(content))
    for parts in found.values():
        for router in parts.get("routers", {}).values():
            router["priority"] = router.get("priority", len(router["rule"])) - 1
    return found


def record_text(owner: str, keys: Mapping[str, str]) -> str:
    """Return the value of an app's record."""
    return json.dumps({"form": _FORM, "owner": owner, "keys": sorted(keys)}, separators=(",", ":"))


def read_record(text: str) -> Record | None:
    """Read the value of a record. None if it does not have its strict form."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.keys() != {"form", "owner", "keys"} or said["form"] != _FORM:
        return None
    owner, keys = said["owner"], said["keys"]
    if not isinstance(owner, str) or not isinstance(keys, list) or len(keys) > MOST_KEYS:
        return None
    if not all(isinstance(key, str) and _OWN_KEY.fullmatch(key) and _in_tree(key) for key in keys):
        return None
    return Record(owner, frozenset(keys))


def _in_tree(key: str) -> bool:
    """True if the key belongs to a named part of a route. Nothing else of the tree is ever removed."""
    words = key.split("/")
    return len(words) >= 5 and words[0] == ROOT and words[1] in _KINDS and words[2] in _PARTS


def prefixes(keys: Mapping[str, str]) -> tuple[str, ...]:
    """Return where these keys lie, down to the name of each router, middleware and service: `…/routers/shop/`."""
    return tuple(sorted({"/".join(key.split("/")[:4]) + "/" for key in keys}))


@dataclass(frozen=True)
class Change:
    """What one transaction writes: keys with their values, and keys to remove. Nothing if both are empty."""

    put: Keys
    remove: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.put or self.remove)


@dataclass(frozen=True)
class Claimed:
    """Why nothing may be written."""

    reason: str
    next_step: str


def change(app: str, owner: str, wanted: Keys, found: Mapping[str, str]) -> Change | Claimed:
    """Return what turns the keys of the app into `wanted`; no wanted keys remove its route.

    `found` has its record, the `SEED`, and all that lies under the names of the wanted keys. The record is among what
    is put or removed whenever anything is, so its revision tells whether somebody else has written meanwhile.
    """
    place = record_key(app)
    record = read_record(found[place]) if place in found else Record(owner, frozenset())
    if record is None:
        return Claimed(f"the record {place} in etcd is not one of reconcile's", f"look at it: etcdctl get {place}")
    if record.owner != owner:
        return Claimed(
            f"the route of {app} in etcd belongs to {record.owner}",
            f"remove {app} there, or take it over: etcdctl del {place}",
        )
    foreign = sorted(found.keys() - record.keys - {place, *SEED})
    if foreign:
        return Claimed(
            f"etcd has the key {foreign[0]}, which reconcile did not write",
            f"remove it, or give the app another name: etcdctl del {foreign[0]}",
        )
    target = SEED | wanted | ({place: record_text(owner, wanted)} if wanted else {})
    put = {key: value for key, value in target.items() if found.get(key) != value}
    remove = (record.keys | (found.keys() & {place})) - target.keys()
    if wanted and (put or remove):
        put[place] = target[place]
    return Change(put, frozenset(remove))
