"""The reference page of every key of the desired state, generated from the models. Pure."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.model.desired import App, Fleet
from reconciler.model.environment import Environment

HEAD = """# Every key of the desired state

Generated from the models by `reconcile schema --write schemas`. The JSON Schemas beside this page give the same to your
editor (first line of a file: `# yaml-language-server: $schema=../../schemas/app.schema.json`). Unknown keys, duplicate
keys, anchors and wrong types are refused with `file:line:column`.
"""

_ENVIRONMENTS = "What differs in another place from `apps/` and `fleet.yaml`: the keys of `fleet.yaml`, and `apps`.\n"


def reference() -> str:
    """The page as Markdown: one table for each file and one for each block in it."""
    files = "".join(_file(title, model) for title, model in (("apps/<app>.yaml", App), ("fleet.yaml", Fleet)))
    return f"{HEAD}{files}\n## `environments/<name>.yaml`\n\n{_ENVIRONMENTS}\n{_table(Environment)}"


def _file(title: str, model: type[BaseModel]) -> str:
    blocks = [(f"`{title}`", model), *((f"`{key}:` in `{title}`", block) for key, block in _blocks(model))]
    return "".join(f"\n## {name}\n\n{_table(block)}" for name, block in blocks)


def _table(model: type[BaseModel]) -> str:
    fields = sorted(model.model_fields.items(), key=lambda item: not item[1].is_required())
    rows = [f"| `{name}` | {_default(field)} | {field.description} |" for name, field in fields]
    return "\n".join(["| key | default | what it does |", "|---|---|---|", *rows]) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "see below"
    if value in (None, (), {}):
        return "none"
    return f"`{json.dumps(value)}`"


def _blocks(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    found: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        for block in _models_in(field.annotation):
            if block.__name__ == "Overrides":  # what is below them is as in an app
                found.append((name, block))
            elif block.__name__ != "Defaults":  # it repeats the keys of an app
                found += [(name, block), *((f"{name}.{inner}", nested) for inner, nested in _blocks(block))]
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation of a field
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
