"""An independent validator takes the schemas as editors do: JSON Schema 2020-12, patterns as JavaScript reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired_state.key_examples import FOLDER
from reconciler.desired_state.schema import schemas
from reconciler.desired_state.yaml_text import read_yaml
from tests.model.test_schemas import APPS, FLEETS, as_an_editor_reads
from tests.support import npm

ROOT = Path(__file__).resolve().parents[2]
AJV = """
import Ajv from "ajv/dist/2020.js";
let text = "";
for await (const piece of process.stdin) text += piece;
const answers = JSON.parse(text).map(({schema, documents}) => {
  const validate = new Ajv({allErrors: true, strict: false}).compile(schema);
  const say = () => validate.errors.map((error) => `${error.instancePath} ${error.message}`);
  return documents.map((document) => (validate(document) ? [] : say()));
});
console.log(JSON.stringify(answers));
"""
WRONG = (
    "app: a\nverison: 1\nartifact: {source: x}\nhosts: [a]\n",
    "app: a\nversion: ../x\nartifact: {source: x}\nhosts: [a]\n",
    "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nports: [80]\n",
    "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nroute: {domains: [a], tls: maybe}\n",
)


def errors(*asked: tuple[Any, list[Any]]) -> list[list[list[str]]]:
    """What the validator says of each document, by schema. Fails if it refuses a schema."""
    found = npm.run_node(AJV, [{"schema": schema, "documents": documents} for schema, documents in asked])
    assert isinstance(found, list)
    return found


def read(text: str) -> Any:
    document = read_yaml(text.replace(", J: .inf", "").encode(), "f")  # JSON has no such number
    assert document.problems == ()
    return as_an_editor_reads(document.value, document, ())


def test_every_file_that_loads_fits_and_mistakes_do_not() -> None:
    app, fleet = (json.loads(schemas()[f"{name}.schema.json"]) for name in ("app", "fleet"))
    folders = (FOLDER, ROOT / "desired-state")
    apps = [path.read_text() for folder in folders for path in sorted((folder / "apps").iterdir())]
    fleets = [(folder / "fleet.yaml").read_text() for folder in folders]

    good, wrong, of_fleet = errors(
        (app, [read(text) for text in (*apps, *APPS.values())]),
        (app, [read(text) for text in WRONG]),
        (fleet, [read(text) for text in (*fleets, *FLEETS.values())]),
    )

    assert [each for each in good + of_fleet if each] == []
    assert all(wrong)


@pytest.mark.parametrize("name", ["app", "fleet"])
def test_every_example_fits_its_key(name: str) -> None:
    schema = json.loads(schemas()[f"{name}.schema.json"])
    keys = list(properties(schema))

    found = errors(*(({**described, "$defs": schema["$defs"]}, described["examples"]) for _, described in keys))

    wrong = {key: each for (key, _), each in zip(keys, found, strict=True) if any(each)}
    assert wrong == {}
    assert len(keys) > 50


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, block in {"": schema, **schema["$defs"]}.items():
        yield from ((f"{name}.{key}", described) for key, described in block["properties"].items())
