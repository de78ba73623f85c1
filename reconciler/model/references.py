"""The places where the desired state names a secret, found by walking the models, so that none is forgotten. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from reconciler.model.desired import Desired


@dataclass(frozen=True, order=True)
class Reference:
    """`user` (an app, or fleet.yaml) names the secret `name` at `key`."""

    name: str
    user: str
    key: str


def references(desired: Desired) -> list[Reference]:
    """Every reference in the desired state, sorted. Those in `defaults` count for each app."""
    found = [reference for app in desired.apps for reference in references_in(app, app.app)]
    found += references_in(desired.fleet.model_copy(update={"defaults": None}), "fleet.yaml")
    return sorted(found)


def references_in(model: BaseModel, user: str) -> list[Reference]:
    """Every reference in one model, which belongs to `user`."""
    return [Reference(name, user, key) for key, name in _secrets(model, "")]


def _secrets(value: object, key: str) -> Iterator[tuple[str, str]]:
    """(key, name) of each `{secret: name}` in a value."""
    if isinstance(value, BaseModel):
        fields = {field: getattr(value, field) for field in type(value).model_fields}
        if fields.keys() == {"secret"}:
            yield key, fields["secret"]
            return
        value = fields
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from _secrets(inner, f"{key}.{part}".lstrip("."))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _secrets(inner, f"{key}[{index}]")
