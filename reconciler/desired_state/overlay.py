"""One layer of the desired state over another, with the place where each value is written. Pure.

Variables are merged by name. Any other key of the upper layer replaces that of the lower one, with all that is below
it. A key without a value, and a variable without one, takes away what the lower layer says.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reconciler.desired_state.yaml_text import Document, KeyPath, Place


def part_of(document: Document, at: KeyPath) -> Document:
    """Return the block at this path as a document of its own. Its places keep the file and the path as written."""
    value: object = document.value
    for part in at:
        value = value.get(part) if isinstance(value, dict) else None
    depth = len(at)
    places = {path[depth:]: _as_written(document, path) for path in document.places if path[:depth] == at}
    refused = frozenset(path[depth:] for path in document.refused if path[:depth] == at)
    return Document(document.file, value, places, (), refused)


def overlay(below: Document, above: Document, merged: Collection[str] = ("env",)) -> Document:
    """Return the lower block with the upper one over it. The keys of `merged` are merged by the names below them."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return below
    value, places = dict(below.value), dict(below.places)
    for key, new in above.value.items():
        old = value.get(key)
        if key in merged and new is None:
            continue
        if key in merged and isinstance(old, dict) and isinstance(new, dict):
            value[key] = {**old, **new}
            _drop(places, *((key, name) for name in new))
        else:
            value[key] = new
            _drop(places, (key,))
        if key in merged and isinstance(value[key], dict):
            value[key] = {name: each for name, each in value[key].items() if each is not None}
    value = {key: each for key, each in value.items() if each is not None or key not in above.value}
    places.update({path: place for path, place in above.places.items() if path})
    refused = below.refused | above.refused
    return replace(below, value=value, places=places, refused=refused)


def _as_written(document: Document, path: KeyPath) -> Place:
    place = document.places[path]
    return place._replace(file=place.file or document.file, path=path if place.path is None else place.path)


def _drop(places: dict[KeyPath, Place], *paths: KeyPath) -> None:
    for path in paths:
        for each in [each for each in places if each[: len(path)] == path]:
            del places[each]
