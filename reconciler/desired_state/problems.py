"""Validation errors of a model → problems with file, line, column, key and next step. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reconciler.desired_state.yaml_text import MOST_PROBLEMS, Document, KeyPath
from reconciler.errors import Problem

M = TypeVar("M", bound=BaseModel)

_WORDS = {
    "model_type": "must be a block of keys",
    "model_attributes_type": "must be a block of keys",
    "dict_type": "must be a block of keys",
    "tuple_type": "must be a list, like [a, b]",
    "missing": "is missing",
    "extra_forbidden": "is not a key",
}


def fill(model: type[M], document: Document, value: object) -> tuple[M | None, tuple[Problem, ...]]:
    """Validate `value` as the model. Return the model, or None and every problem, those of the YAML itself first."""
    if not isinstance(value, dict):
        if document.problems:
            return None, document.problems
        if value is None:
            return None, (Problem(document.file, 1, 1, "", "is empty", "write its keys, or delete the file"),)
        top = document.places[()]
        next_step = _list_of(_keys_at(model, ()))
        return None, (Problem(document.file, top.line, top.column, "", _WORDS["model_type"], next_step),)
    try:
        filled = model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = [problem for detail in details if (problem := _explain(detail, model, document))]
        return None, document.problems + tuple(found[:MOST_PROBLEMS])
    return (None if document.problems else filled), document.problems


def _explain(error: ErrorDetails, model: type[BaseModel], document: Document) -> Problem | None:
    """The problem that describes this error, or None if the same place was already refused as YAML."""
    at = error.get("ctx", {}).get("at", ())
    path, about_key = _known_path((*error["loc"], *at), document)
    if any(path[:length] in document.refused for length in range(len(path) + 1)):
        return None
    last = error["loc"][-1] if error["loc"] else ""
    named = (*path, last) if error["type"] == "missing" else path
    message, next_step = _words_of(error, model, named)
    at_key = about_key or error["type"] in ("extra_forbidden", "missing") or document.places[path].form == "block"
    return document.problem(path, message, next_step, below=named[len(path) :], at_key=at_key)


def _known_path(loc: tuple[Any, ...], document: Document) -> tuple[KeyPath, bool]:
    """The parts of pydantic's location that exist in the document, and True if the error is about a key.

    pydantic's locations also contain names of union members and `[key]`.
    """
    path: KeyPath = ()
    for part in loc:
        if (*path, part) in document.places:
            path = (*path, part)
    return path, "[key]" in loc


def _words_of(error: ErrorDetails, model: type[BaseModel], path: KeyPath) -> tuple[str, str]:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "refused":
        return str(context["message"]), str(context["next_step"])
    if kind == "literal_error":
        return f"must be {context['expected']}", "write one of these, or leave the key out"
    keys = _keys_at(model, path[:-1])
    if kind == "extra_forbidden":
        return _WORDS[kind], _guess(str(path[-1]), keys)
    if kind == "missing":
        return _WORDS[kind], f"add it: {_help_of(keys.get(str(path[-1])))}"
    if error["input"] is None:
        return "has no value", "write one, or delete the line"
    if kind == "dict_type":  # its keys are free
        return _WORDS[kind], "write `NAME: value` lines below it"
    if kind == "tuple_type":
        return _WORDS[kind], "put it into [ ], even a single item"
    return _WORDS.get(kind, error["msg"]), _list_of(_keys_at(model, path)) or "write `key: value` lines below it"


def _help_of(field: FieldInfo | None) -> str:
    return (field and field.description) or "it is required"


def _guess(key: str, keys: dict[str, FieldInfo]) -> str:
    from difflib import get_close_matches  # only needed after an error

    if close := get_close_matches(key.lower().replace("-", "_"), keys, n=1):
        return f"did you mean {close[0]}?"
    for name, field in keys.items():
        if any(key in inner.model_fields for inner in _models(field.annotation)):
            return f"did you mean {name}.{key}?"
    return _list_of(keys)


def _list_of(keys: dict[str, FieldInfo]) -> str:
    return f"keys here: {', '.join(keys)}" if keys else ""


def _keys_at(model: type[BaseModel], path: KeyPath) -> dict[str, FieldInfo]:
    """The keys allowed in the block at this path, with the model's own keys before the inherited ones."""
    annotation: Any = model
    for part in path:
        found = next(_models(annotation), None)
        if get_origin(annotation) is dict or found is None:
            annotation = get_args(annotation)[-1] if get_args(annotation) else None
        else:
            annotation = found.model_fields[str(part)].annotation if str(part) in found.model_fields else None
    found = next(_models(annotation), None)
    if found is None:
        return {}
    own = found.__annotations__
    return dict(sorted(found.model_fields.items(), key=lambda item: item[0] not in own))


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `HealthCheck | None` or `dict[str, HostSpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
