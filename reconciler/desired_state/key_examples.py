"""An example of each key, from the desired state in `examples/`, which loads: editors show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reconciler.desired_state.environments import environment_file, read_environment
from reconciler.desired_state.files import FLEET, FolderTree, collect
from reconciler.desired_state.load import build
from reconciler.desired_state.yaml_text import Document, KeyPath, read_yaml

FOLDER = Path(__file__).parent / "examples"
_SHARED = {"Defaults": "App", "Overrides": "App", "Environment": "Fleet"}  # models that repeat keys of another


def key_examples() -> dict[tuple[str, str], list[Any]]:
    """Return the examples of each key, by the name of its model and its own."""
    written = collect(FolderTree(FOLDER), FOLDER.name)
    desired = build(written, FOLDER)
    models: dict[str, BaseModel] = {f"apps/{app.app}.yaml": app for app in desired.apps} | {FLEET: desired.fleet}
    for name in desired.environments:
        if environment := read_environment(name, written.files[environment_file(name)], FOLDER.name)[1]:
            models[environment_file(name)] = environment
    found: dict[tuple[str, str], list[Any]] = {}
    for file, model in models.items():
        document = read_yaml(written.files[file], file)
        for key, value in _keys(model, document.value, document, ()):
            found.setdefault(key, [])
            if value not in found[key]:
                found[key].append(value)
    return found


def example_of(found: dict[tuple[str, str], list[Any]], model: str, key: str) -> list[Any]:
    """Return the examples of this key; none if nobody has written one."""
    return found.get((model, key)) or found.get((_SHARED.get(model, model), key), [])


def _keys(model: object, value: Any, document: Document, path: KeyPath) -> Iterator[tuple[tuple[str, str], Any]]:  # noqa: ANN401
    """Yield (model's name, key) and the value of each key of this model and of those below it."""
    if isinstance(model, BaseModel):
        for key, inner in value.items():
            yield (type(model).__name__, key), _plain(inner, document, (*path, key))
            yield from _keys(getattr(model, key), inner, document, (*path, key))
    elif isinstance(model, dict):
        for key, inner in value.items():
            yield from _keys(model.get(key), inner, document, (*path, key))
    elif isinstance(model, tuple) and isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _keys(model[index], inner, document, (*path, index))


def _plain(value: Any, document: Document, path: KeyPath) -> Any:  # noqa: ANN401
    """Return the value as an editor reads it: numbers and truths are no text."""
    if isinstance(value, dict):
        return {key: _plain(inner, document, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, document, (*path, index)) for index, inner in enumerate(value)]
    if value is None:
        return None
    if document.places[path].form == "plain" and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return {"true": True, "false": False}.get(value, value) if document.places[path].form == "plain" else value
