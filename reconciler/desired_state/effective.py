"""An app as it is on its hosts, every layer laid over the other, with the place where each value is written. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.desired_state.environments import environment_file
from reconciler.desired_state.files import FLEET
from reconciler.desired_state.overlay import part_of
from reconciler.desired_state.parts import read_parts
from reconciler.desired_state.rules import AppFile
from reconciler.desired_state.yaml_text import Document, KeyPath, read_yaml
from reconciler.errors import InvalidDesiredState, UsageError
from reconciler.model.app import App

DEFAULT = "default"  # the source of a value that nobody has written
_LAYERS = ("overrides",)  # what is laid over the rest, and no value itself


@dataclass(frozen=True)
class Value:
    """One value: its key, itself, and `file:line`. A secret is its name; an empty list or block is None."""

    path: KeyPath
    value: str | None
    source: str
    secret: bool = False


@dataclass(frozen=True)
class Effective:
    """The app as it is on these hosts, in the order of their rollout."""

    hosts: tuple[str, ...]
    values: tuple[Value, ...]


def effective(files: Mapping[str, bytes], where: str, app: str, environment: str = "") -> tuple[str, list[Effective]]:
    """Return the name of the app on hosts, and what it is there: once for hosts on which all is the same.

    Raises UsageError if there is no such app, InvalidDesiredState.
    """
    parts = read_parts(files, where, environment)
    if parts.problems or parts.fleet is None:
        raise InvalidDesiredState(tuple(sorted(set(parts.problems))))
    found = [
        file for file in parts.files if app in (file.app.app, file.document.file.rpartition("/")[2][: -len(".yaml")])
    ]
    if not found:
        known = ", ".join(file.app.app for file in parts.files) or "none"
        raise UsageError(f"there is no app {app!r} in {environment or where}", f"apps here: {known}")
    (file,) = found[:1]
    defaults = [
        part_of(read_yaml(files[name], f"{where}/{name}"), ("defaults",))
        for name in (environment_file(environment), FLEET)
        if name in files
    ]
    return file.app.app, [
        Effective(tuple(host for host in file.app.hosts if file.on(host) is variant), tuple(_values(variant, defaults)))
        for variant in file.variants
    ]


def _values(file: AppFile, defaults: list[Document]) -> Iterator[Value]:
    assert isinstance(file.document.value, dict)
    own = [key for key in App.model_fields if key in App.__annotations__]
    for key in dict.fromkeys([*own, *App.model_fields]):
        if key in _LAYERS:
            continue
        written = file.document.value.get(key)
        if written is not None:
            yield from _leaves((key,), written, lambda path: _source(path, file.document, defaults))
        elif (implied := _implied(file.app, key)) is not None:
            yield from _leaves((key,), implied, lambda _: DEFAULT)


def _leaves(path: KeyPath, value: Any, source: Any) -> Iterator[Value]:  # noqa: ANN401 - YAML in, YAML out
    if isinstance(value, dict) and value.keys() == {"secret"}:
        yield Value(path, str(value["secret"]), source(path), secret=True)
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves((*path, key), inner, source)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves((*path, index), inner, source)
    elif not isinstance(value, dict | list) and value is not None:
        yield Value(path, value if isinstance(value, str) else str(value).lower(), source(path))


def _source(path: KeyPath, document: Document, defaults: list[Document]) -> str:
    for layer in (document, *defaults):
        if place := layer.places.get(path):
            return f"{place.file or layer.file}:{place.line}"
    return DEFAULT


def _implied(app: App, key: str) -> Any:  # noqa: ANN401 - JSON of a model
    """What counts without being written, in the form of the YAML; None for nothing at all."""
    if key in ("start", "memory_max"):
        return app.start_command if key == "start" else app.memory_limit
    found = app.model_dump(mode="json", include={key})[key]
    if isinstance(found, dict):
        found = {name: each for name, each in found.items() if each not in (None, False, [], {})}
    return None if found in (None, False, [], {}) else found
