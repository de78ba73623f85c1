"""The JSON Schemas for editors, generated from the models. They accept every file that the loader accepts."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from reconciler.desired_state.key_examples import example_of, key_examples
from reconciler.model.desired import App, Fleet
from reconciler.model.environment import Environment

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """The schemas in `schemas/`, as file name → text."""
    return {
        "app.schema.json": _text(App, "apps/<app>.yaml"),
        "fleet.schema.json": _text(Fleet, "fleet.yaml"),
        "environment.schema.json": _text(Environment, "environments/<name>.yaml"),
    }


def _text(model: type[BaseModel], title: str) -> str:
    schema = _without_titles(model.model_json_schema())
    found = key_examples()
    for name, block in {model.__name__: schema, **schema["$defs"]}.items():
        for key, described in block["properties"].items():
            described["examples"] = example_of(found, name, key)
    schema = {"$schema": _DRAFT} | schema | {"title": title}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _without_titles(node: object) -> Any:  # noqa: ANN401 -- JSON in, JSON out
    """pydantic repeats each key as its own title, which an editor would show above the description."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _without_titles(inner) for name, inner in value.items()}
        if key in ("properties", "$defs")
        else _without_titles(value)
        for key, value in node.items()
        if key != "title"
    }
