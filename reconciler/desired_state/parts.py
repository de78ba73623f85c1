"""The files of the desired state → the fleet, and each app as it was read: of production or an environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from reconciler.desired_state.environments import (
    app_in,
    claims_of,
    environment_file,
    environments_in,
    find_environment,
    problems_across,
    read_environment,
    refuse_production,
)
from reconciler.desired_state.files import FLEET
from reconciler.desired_state.groups import Groups, with_hosts_of_groups
from reconciler.desired_state.per_host import Layers, layers_of, overrides_of_nobody, with_overrides
from reconciler.desired_state.problems import fill
from reconciler.desired_state.rules import AppFile, problems_between
from reconciler.desired_state.yaml_text import Document, read_yaml
from reconciler.errors import Problem
from reconciler.model.desired import App, Defaults, Fleet
from reconciler.model.environment import PRODUCTION, Environment

_OF_A_FLEET = ("owner", "notify", "hosts", "traefik")  # what an environment replaces whole


@dataclass(frozen=True)
class ReadFleet:
    """The fleet, and its defaults as they were written, which each app's own keys override."""

    model: Fleet
    defaults: Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """What was read of one environment, and what is wrong with it. Without a fleet, nothing of it can be used."""

    fleet: ReadFleet | None
    files: tuple[AppFile, ...]  # sorted by the names of the apps
    problems: tuple[Problem, ...]
    base_owner: str | None = None  # that of fleet.yaml


ReadApp = tuple[AppFile | None, tuple[Problem, ...]]
ReadApps = dict[tuple[str, bytes], tuple[object, ReadApp]]
"""What was read from a file of this name and content, with these defaults and groups."""


def read_parts(plain: Mapping[str, bytes], where: str, environment: str, memo: ReadApps | None = None) -> Parts:
    """Read the files of production, or those of an environment laid over them. Raises UnknownEnvironment.

    `where` is the folder as errors name it. `memo` spares reading a file twice.
    """
    if environment in ("", PRODUCTION):
        return _production(plain, where, {} if memo is None else memo)
    return _with_claims(plain, where, environment, _environment(plain, where, environment))


def _production(plain: Mapping[str, bytes], where: str, memo: ReadApps) -> Parts:
    problems = refuse_production(plain, where)
    fleet = _fleet_of(plain, where, problems)
    return _joined(fleet, _read_apps(_apps(plain), where, fleet or ReadFleet(Fleet(), {}), memo), problems, fleet)


def _environment(plain: Mapping[str, bytes], where: str, name: str) -> Parts:
    document, environment, found = read_environment(name, find_environment(plain, name, where), where)
    problems: list[Problem] = [*found]
    base = _fleet_of(plain, where, problems)
    if environment is None or base is None:
        return Parts(None, (), tuple(problems))
    fleet = _fleet_in(document, environment, base)
    files = _apps(plain)
    problems += _apps_without_a_file(document, environment, files)
    read: list[ReadApp] = []
    for app in environment.apps:
        if (key := f"apps/{app}.yaml") not in files:
            continue
        written = read_yaml(files[key], f"{where}/{key}")
        if misnamed := _misnamed(written, key):
            read.append((None, (misnamed,)))
            continue
        joined = app_in(document, app, written)
        problems += _hosts_of_production(joined, fleet.model, base.model)
        read.append(_read_app(key, with_hosts_of_groups(joined, fleet.model.groups), fleet, of_environment=True))
    parts = _joined(fleet, read, problems, base)
    return replace(parts, problems=tuple(_said_of(name, document.file, each) for each in parts.problems))


def _fleet_of(plain: Mapping[str, bytes], where: str, problems: list[Problem]) -> ReadFleet | None:
    content = plain.get(FLEET)
    return read_fleet(read_yaml(content, f"{where}/{FLEET}") if content is not None else None, problems)


def read_fleet(document: Document | None, problems: list[Problem]) -> ReadFleet | None:
    """Read fleet.yaml; None (no file) gives an empty fleet. Adds what is wrong with it to the problems."""
    if document is None or (document.value is None and not document.problems):
        return ReadFleet(Fleet(), {})
    model, found = fill(Fleet, document, document.value)
    problems += found
    if model is None or not isinstance(document.value, dict):
        return None
    return ReadFleet(model, document.value.get("defaults") or {})


def _fleet_in(document: Document, environment: Environment, base: ReadFleet) -> ReadFleet:
    """The fleet of the environment. It has an owner of its own, and its defaults are laid over those of fleet.yaml."""
    value = document.value
    assert isinstance(value, dict)
    changes: dict[str, object] = {"owner": environment.owner}
    changes |= {key: getattr(environment, key) for key in _OF_A_FLEET if value.get(key) is not None}
    own = value.get("defaults") or {}
    defaults = {**base.defaults, **own, "env": {**(base.defaults.get("env") or {}), **(own.get("env") or {})}}
    changes["defaults"] = Defaults.model_validate(defaults)
    return ReadFleet(base.model.model_copy(update=changes), defaults)


def _apps(plain: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in plain.items() if name.startswith("apps/")}


def _joined(
    fleet: ReadFleet | None, read: Sequence[ReadApp], problems: Sequence[Problem], base: ReadFleet | None
) -> Parts:
    files = sorted((file for file, _ in read if file), key=lambda file: file.app.app)
    found = [*problems, *(problem for _, own in read for problem in own)]
    if fleet:  # without it we do not know which machines the host names mean
        found += problems_between(files, fleet.model)
    return Parts(fleet, tuple(files), tuple(found), base.model.owner if base else None)


def _read_apps(files: Mapping[str, bytes], where: str, fleet: ReadFleet, memo: ReadApps) -> list[ReadApp]:
    groups = fleet.model.groups
    given = fleet.defaults, groups
    for name, content in files.items():
        if (name, content) not in memo or memo[name, content][0] != given:
            document = with_hosts_of_groups(read_yaml(content, f"{where}/{name}"), groups)
            memo[name, content] = given, _read_app(name, document, fleet)
    return [memo[name, content][1] for name, content in files.items()]


def _read_app(name: str, document: Document, fleet: ReadFleet, *, of_environment: bool = False) -> ReadApp:
    document = replace(document, value=with_defaults(document.value, fleet.defaults))
    app, found = fill(App, document, document.value)
    if app is None:
        return None, found
    if not of_environment and (misnamed := _misnamed(document, name)):
        return None, (*found, misnamed)
    file = AppFile(document, app)
    return _with_variants(file, fleet.model.groups, of_environment) if app.overrides else (file, found)


def _misnamed(document: Document, name: str) -> Problem | None:
    stem = PurePosixPath(name).stem
    app = document.value.get("app") if isinstance(document.value, dict) else None
    if not isinstance(app, str) or app == stem:
        return None
    next_step = f"write app: {stem}, or rename the file to {app}.yaml"
    return document.problem(("app",), f"is {app}, but the file is {stem}.yaml", next_step)


def _with_variants(file: AppFile, groups: Groups, of_environment: bool) -> ReadApp:
    """The file with the app as it is on each host. Equal layers make one app."""
    app, document = file.app, file.document
    if unused := overrides_of_nobody(document, app.app, app.hosts, groups, of_environment):
        return None, tuple(unused)
    made: dict[Layers, AppFile] = {}
    by_host: dict[str, AppFile] = {}
    for host in app.hosts:
        layers = layers_of([*app.overrides], host, groups)
        if layers not in made:
            own = with_overrides(document, layers)
            variant, found = fill(App, own, own.value)
            if variant is None:
                return None, found
            made[layers] = AppFile(own, variant)
        by_host[host] = made[layers]
    app.set_variants({host: each.app for host, each in by_host.items()})
    return replace(file, by_host=by_host), ()


def with_defaults(value: object, defaults: Mapping[str, object]) -> object:
    """Merge the app's keys over the fleet's defaults, and `env` key by key.

    An app without ports does not get the default health check: it has no port to ask.
    """
    if not isinstance(value, dict):
        return value
    joined = {key: default for key, default in defaults.items() if key != "health" or value.get("ports")} | value
    own, common = value.get("env"), defaults.get("env")
    if isinstance(common, dict) and (own is None or isinstance(own, dict)):
        joined["env"] = common | (own or {})
    return joined


def _apps_without_a_file(document: Document, environment: Environment, files: Mapping[str, bytes]) -> list[Problem]:
    from difflib import get_close_matches  # only needed after an error

    known = [PurePosixPath(name).stem for name in files]
    found = []
    for app in environment.apps:
        if app not in known:
            close = get_close_matches(app, known, n=1)
            next_step = f"did you mean {close[0]}?" if close else f"apps here: {', '.join(known)}"
            found.append(document.problem(("apps", app), f"there is no apps/{app}.yaml", next_step, at_key=True))
    return found


def _hosts_of_production(app: Document, fleet: Fleet, base: Fleet) -> list[Problem]:
    """Refuse a name that only fleet.yaml has: here it would mean some other machine, or that of production."""
    named = app.value.get("hosts") if isinstance(app.value, dict) else None
    found = []
    for index, name in enumerate(named if isinstance(named, list) else ()):
        if name in base.hosts and name not in fleet.hosts:
            message, next_step = (
                f"{name} is a host of {PRODUCTION}",
                "name hosts of this environment: its file has its own",
            )
            found.append(app.problem(("hosts", index), message, next_step))
    return found


def _said_of(environment: str, file: str, problem: Problem) -> Problem:
    """The problem, with the environment in which it is one where another file is at fault."""
    return problem if problem.file == file else replace(problem, message=f"in {environment}, {problem.message}")


def _with_claims(plain: Mapping[str, bytes], where: str, name: str, parts: Parts) -> Parts:
    """The parts, with what all the other environments that can be read claim as well."""
    if parts.fleet is None:
        return parts
    others = [PRODUCTION, *(each for each in environments_in(plain) if each != name)]
    claims = []
    for other in others:
        read = _production(plain, where, {}) if other == PRODUCTION else _environment(plain, where, other)
        if read.fleet:
            claims.append(claims_of(other, read.files, read.fleet.model))
    document = read_yaml(plain[environment_file(name)], f"{where}/{environment_file(name)}")
    found = problems_across(document, parts.files, parts.fleet.model, claims)
    said = (_said_of(name, document.file, problem) for problem in found)
    return replace(parts, problems=(*parts.problems, *said))


__all__ = ["Parts", "ReadApps", "ReadFleet", "read_fleet", "read_parts", "with_defaults"]
