"""Environments: the same apps in another place. `environments/<name>.yaml` is laid over apps/ and fleet.yaml. Pure.

Nothing that belongs to another environment may be touched, so each has an owner of its own, and two of them may not
have one app, port or domain on one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pydantic_core import PydanticCustomError

from reconciler.desired_state.files import ENVIRONMENTS
from reconciler.desired_state.overlay import overlay, part_of
from reconciler.desired_state.problems import fill
from reconciler.desired_state.rules import AppFile, on_machines
from reconciler.desired_state.yaml_text import Document, KeyPath, read_yaml
from reconciler.errors import Problem, UnknownEnvironment
from reconciler.model.desired import Fleet
from reconciler.model.environment import ENVIRONMENT_NAME, PRODUCTION, Environment
from reconciler.model.observed import TRAEFIK


def environment_file(name: str) -> str:
    return f"{ENVIRONMENTS}/{name}.yaml"


def environments_in(files: Mapping[str, bytes]) -> list[str]:
    """The names of the environments, sorted."""
    return sorted(PurePosixPath(name).stem for name in files if name.startswith(f"{ENVIRONMENTS}/"))


def find_environment(files: Mapping[str, bytes], name: str, where: str) -> bytes:
    """Return the content of the environment's file. Raises UnknownEnvironment."""
    if (content := files.get(environment_file(name))) is None:
        known = ", ".join([PRODUCTION, *environments_in(files)])
        raise UnknownEnvironment(f"there is no {environment_file(name)} in {where}", f"environments here: {known}")
    return content


def read_environment(name: str, content: bytes, where: str) -> tuple[Document, Environment | None, tuple[Problem, ...]]:
    """Return the file as it was written, and what it says; None with the problems if that is not valid by itself."""
    document = read_yaml(content, f"{where}/{environment_file(name)}")
    if document.value is None and not document.problems:
        document = replace(document, value={})
        return document, Environment(), ()
    environment, problems = fill(Environment, document, document.value)
    try:
        ENVIRONMENT_NAME.read(name)
    except PydanticCustomError as error:
        next_step = str((error.context or {}).get("next_step", ""))
        return document, None, (*problems, Problem(document.file, 0, 0, "", error.message(), next_step))
    return document, None if problems else environment, problems


def refuse_production(files: Mapping[str, bytes], where: str) -> list[Problem]:
    """Refuse a file with the name of production: its author believes that it counts."""
    message = f"{PRODUCTION} is what apps/ and fleet.yaml say by themselves"
    file = environment_file(PRODUCTION)
    return [Problem(f"{where}/{file}", 0, 0, "", message, "give it another name")] if file in files else []


def app_in(environment: Document, name: str, app: Document) -> Document:
    """Return the app's document with what the environment says of it.

    `env` and `artifact` are merged by key. A digest belongs to a version: with another version, that of the app's file
    does not count. An app that has another name there starts the program that it starts everywhere.
    """
    above = part_of(environment, ("apps", name))
    if above.value is None:
        above = replace(above, value={})
    if not isinstance(app.value, dict) or not isinstance(above.value, dict):
        return app
    below = app
    if "version" in above.value and above.value["version"] != app.value.get("version"):
        below = _without_digest(app)
    joined = overlay(below, above, merged=("env", "artifact"))
    assert isinstance(joined.value, dict)
    own_name = joined.value.get("app") != app.value.get("app")
    first_process_only = joined.value.get("processes") and not joined.value.get("ports")
    if own_name and joined.value.get("start") is None and not first_process_only:
        joined = replace(joined, value={**joined.value, "start": f"bin/{name} start"})
    return replace(joined, places={**joined.places, (): app.places[()]})


def _without_digest(app: Document) -> Document:
    assert isinstance(app.value, dict)
    artifact = app.value.get("artifact")
    if not isinstance(artifact, dict):
        return app
    kept = {key: value for key, value in artifact.items() if key != "sha256"}
    places = {path: place for path, place in app.places.items() if path[:2] != ("artifact", "sha256")}
    return replace(app, value={**app.value, "artifact": kept}, places=places)


@dataclass(frozen=True)
class Claims:
    """What one environment has on which machine: apps, ports, domains, and its Traefik."""

    environment: str
    owner: str | None  # None unless it is written
    taken: Mapping[tuple[object, str, object], str]  # (machine, kind, what) → where it is written


def claims_of(environment: str, files: Iterable[AppFile], fleet: Fleet) -> Claims:
    taken: dict[tuple[object, str, object], str] = {}
    for file, _, spec in on_machines(files, fleet):
        for kind, what, path in _claims(file, fleet):
            taken.setdefault((spec.machine, kind, what), file.place(path))
    return Claims(environment, fleet.owner, taken)


def _claims(file: AppFile, fleet: Fleet) -> Iterator[tuple[str, object, KeyPath]]:
    yield "app", file.app.app, ("app",)
    for path, port in file.ports:
        yield "port", port, path
    if file.app.route:
        yield from (("route", claim, ("route", *path)) for path, claim in file.app.route.claims)
        if fleet.traefik.managed:
            yield "Traefik", TRAEFIK, ("route",)


def problems_across(
    document: Document, files: Sequence[AppFile], fleet: Fleet, others: Iterable[Claims]
) -> Iterator[Problem]:
    """Return a problem for each thing on a machine that another environment has as well, and for an owner that it has.

    With the owner of another, each would remove the apps of the other from a machine that both use.
    """
    for other in others:
        if fleet.owner is not None and fleet.owner == other.owner:
            message = f"{fleet.owner} is the owner in {other.environment} too, so each would remove the other's apps"
            next_step = "write another, or delete it: without it, an environment has one of its own"
            yield document.problem(("owner",), message, next_step)
        for file, host, spec in on_machines(files, fleet):
            for kind, what, path in _claims(file, fleet):
                if at := other.taken.get((spec.machine, kind, what)):
                    yield file.problem(path, *_clash(kind, what, host, f"{other.environment} ({at})", file))
                    if kind == "app":  # its ports and domains are then the same as well
                        break


def _clash(kind: str, what: object, host: str, other: str, file: AppFile) -> tuple[str, str]:
    if kind == "app":
        name = file.app.app
        message = f"{name} is on host {host} in {other} too"
        return message, f"name other hosts, or give it another name there: {name}: {{app: {name}-2}}"
    if kind == "Traefik":
        message = f"Traefik on host {host} is managed by {other} as well"
        return message, "write traefik: without version in one of the two, which then uses that of the other"
    return f"{what} is also a {kind} in {other}, on host {host}", "change one of the two"
