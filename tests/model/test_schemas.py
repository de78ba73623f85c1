"""The JSON Schemas are what the models say, and accept every file that the loader accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.commands import schema as schema_command
from reconciler.desired_state import key_examples
from reconciler.desired_state.load import load
from reconciler.desired_state.reference import reference
from reconciler.desired_state.schema import schemas
from reconciler.desired_state.yaml_text import Document, KeyPath, read_yaml
from reconciler.model.desired import Fleet
from reconciler.model.options import Options

ROOT = Path(__file__).resolve().parents[2]
FRESH = "run: reconcile schema --write schemas"

APPS = {
    "numbers": "app: a\nversion: 1.10\nartifact: {source: 7}\nhosts: [1.5]\nports: ['4000', 4001]\nstop_seconds: '2'\n",
    "words": "app: true\nversion: true\nartifact: {source: false}\nhosts: [true]\nstart: true\n",
    "versions": "app: a\nversion: 1e3\nartifact: {source: x, sha256: }\nhosts: [a]\n",
    "octal": "app: a\nversion: 0o17\nartifact: {source: x}\nhosts: [local]\n",
    "env": "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\n"
    "env: {A: 1, B: 0644, C: on, D: true, E: '', F: {secret: a/b}, G: 1.10, H: 2026-11-23, I: -1, J: .inf}\n",
    "empty": "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nports:\nenv:\nsandbox:\nroute:\nhealth:\nstart:\n",
    "all": "app: a\nversion: '1'\nartifact: {source: 'https://h/{version}', sha256: " + "1" * 64 + "}\n"
    "hosts: [web1, root@h, 'root@g:22', 'r@[::1]:22']\nports: [4000]\nstart: x y\nmigrate: z\nmemory_max: 1000000\n"
    "health: {path: /a, healthy_within_seconds: 1, minimum_healthy_seconds: 0}\n"
    "route: {domains: [A.de, 1.de, '1.2'], tls: 'false'}\ndrain_seconds: 0\nstop_seconds: 1\n"
    "before_migrate: b\nafter_rollout: true\non_failure: {run: x, each_host: 'true'}\nhook_within_seconds: '1'\n"
    "migrate_within_seconds: 1\nkeep_releases: 100\ndistribution: sname\nenv: {RELEASE_COOKIE: {secret: c}}\n"
    "sandbox: {devices: true, home: false, extra_writable_paths: [/a.b/c], capabilities: }\n",
}
FLEETS = {
    "empty": "hosts:\ndefaults:\ntraefik:\n",
    "hosts": "hosts: {1: {address: 10.5, user: true, port: '22', scope: system, paths: {releases: /x}}}\n",
    "defaults": "defaults: {env: {A: 1}, health: {path: /up}, drain_seconds: 1, sandbox: }\n",
    "traefik": "traefik: {http_entry_point: 80, cert_resolver: le, api_port: 9000}\n",
}


@pytest.mark.parametrize("name", ["app.schema.json", "fleet.schema.json", "environment.schema.json"])
def test_the_schemas_are_fresh(name: str) -> None:
    assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == schemas()[name], FRESH


def test_the_page_of_keys_is_fresh() -> None:
    assert (ROOT / "schemas" / "README.md").read_text(encoding="utf-8") == reference(), FRESH


def test_every_key_has_a_description() -> None:
    """It is what an editor shows."""
    for text in schemas().values():
        schema = json.loads(text)
        for block in (schema, *schema["$defs"].values()):
            assert block["description"]
            assert [name for name, key in block["properties"].items() if not key.get("description")] == []


def test_every_key_has_an_example_that_loads() -> None:
    """All are from the desired state in reconciler/desired_state/examples: write a new key there too."""
    assert load(key_examples.FOLDER, working_tree=True).notes == ()
    for text in schemas().values():
        schema = json.loads(text)
        for block in (schema, *schema["$defs"].values()):
            assert [name for name, key in block["properties"].items() if not key.get("examples")] == []


@pytest.mark.parametrize("name", APPS)
def test_an_app_that_loads_fits_its_schema(name: str, tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    stem = "true" if name == "words" else "a"
    (tmp_path / "apps" / f"{stem}.yaml").write_text(APPS[name])

    assert len(load(tmp_path).apps) == 1
    assert faults("app.schema.json", APPS[name]) == []


@pytest.mark.parametrize("name", FLEETS)
def test_a_fleet_that_loads_fits_its_schema(name: str, tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "a.yaml").write_text(APPS["versions"])
    (tmp_path / "fleet.yaml").write_text(FLEETS[name])

    assert isinstance(load(tmp_path).fleet, Fleet)
    assert faults("fleet.schema.json", FLEETS[name]) == []


def test_an_environment_that_loads_fits_its_schema() -> None:
    """Any key of an app, none of which is required there."""
    text = (key_examples.FOLDER / "environments" / "staging.yaml").read_text()

    assert load(key_examples.FOLDER, working_tree=True, environment="staging").apps
    assert faults("environment.schema.json", text) == []
    assert faults("environment.schema.json", text.replace("jobs: null", "jobs: 3")) != []


@pytest.mark.parametrize(
    "text",
    [
        "app: a\nverison: 1\nartifact: {source: x}\nhosts: [a]\n",
        "app: a\nversion: 1\nartifact: {source: x}\n",
        "app: a\nversion: ../x\nartifact: {source: x}\nhosts: [a]\n",
        "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nports: [80]\n",
        "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nenv: {A: ~}\n",
        "app: a\nversion: 1\nartifact: {source: x}\nhosts: [a]\nroute: {domains: [a], tls: maybe}\n",
    ],
)
def test_an_editor_sees_what_the_loader_refuses(text: str) -> None:
    assert faults("app.schema.json", text) != []


def test_the_example_loads_and_fits_its_schemas() -> None:
    folder = ROOT / "desired-state"
    desired = load(folder, working_tree=True)

    assert [app.app for app in desired.apps] == ["hello"]
    assert desired.host("web1").user == "root"
    assert faults("app.schema.json", (folder / "apps" / "hello.yaml").read_text()) == []
    assert faults("fleet.schema.json", (folder / "fleet.yaml").read_text()) == []


@pytest.mark.parametrize("file", ["fleet.yaml", "apps/hello.yaml"])
def test_the_example_points_at_its_schema(file: str) -> None:
    path = ROOT / "desired-state" / file
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", path.read_text().splitlines()[0])

    assert found
    assert (path.parent / found[1]).is_file()


def test_the_command_prints_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schema_command.run(Options(name="fleet", write=None)) == 0
    assert capsys.readouterr().out == schemas()["fleet.schema.json"]

    assert schema_command.run(Options(name=None, write=tmp_path / "new")) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {
        **schemas(),
        "README.md": reference(),
    }


# The part of JSON Schema that the files use, in a few lines; an unknown keyword is an error here.


def faults(name: str, text: str) -> list[str]:
    schema = json.loads(schemas()[name])
    document = read_yaml(text.encode(), "f")
    assert document.problems == ()
    return list(check(as_an_editor_reads(document.value, document, ()), schema, schema, ""))


def as_an_editor_reads(node: Any, document: Document, path: KeyPath) -> Any:
    """YAML 1.2 types for plain scalars, as yaml-language-server gives them to the schema."""
    if isinstance(node, dict):
        return {key: as_an_editor_reads(value, document, (*path, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [as_an_editor_reads(value, document, (*path, index)) for index, value in enumerate(node)]
    if node is None or document.places[path].form != "plain":
        return node
    if node in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return node.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", node):
        return int(node, 0 if node[:2] in ("0o", "0x") else 10)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)", node):
        return float(node.replace(".inf", "inf"))
    return node


TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KEYWORDS = {"type", "pattern", "minimum", "maximum", "enum", "const", "anyOf", "oneOf", "items", "$ref", "$defs"}
KEYWORDS |= {"properties", "required", "patternProperties", "additionalProperties"}
KEYWORDS |= {"$schema", "title", "description", "default", "examples"}


def check(value: Any, schema: Any, root: Any, at: str) -> list[str]:
    assert schema.keys() <= KEYWORDS, schema.keys() - KEYWORDS
    if "$ref" in schema:
        return check(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    for many, least in (("anyOf", 1), ("oneOf", 1)):
        if many in schema and sum(not check(value, each, root, at) for each in schema[many]) < least:
            return [f"{at} fits none"]
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
    if kinds is not None and not any(of_type(value, kind) for kind in kinds):
        return [f"{at} is not {kinds}"]
    found = [f"{at} is not in {schema['enum']}"] if "enum" in schema and value not in schema["enum"] else []
    found += [f"{at} is not {schema['const']}"] if value != schema.get("const", value) else []
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{at} does not match")
    if of_type(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at} is out of range")
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            found += check(each, schema["items"], root, f"{at}[{index}]")
    return found + (check_object(value, schema, root, at) if isinstance(value, dict) else [])


def check_object(value: dict[str, Any], schema: Any, root: Any, at: str) -> list[str]:
    found = [f"{at}.{key} is missing" for key in schema.get("required", []) if key not in value]
    for key, each in value.items():
        patterns = [inner for pattern, inner in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        if key in schema.get("properties", {}):
            found += check(each, schema["properties"][key], root, f"{at}.{key}")
        elif patterns:
            found += check(each, patterns[0], root, f"{at}.{key}")
        elif schema.get("additionalProperties") is False:
            found.append(f"{at}.{key} is unknown")
        elif isinstance(schema.get("additionalProperties"), dict):
            found += check(each, schema["additionalProperties"], root, f"{at}.{key}")
    return found


def of_type(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
