"""Desired state: what people write. Frozen and strict; an editor shows each description at its key.

These definitions are the only ones: the loader fills them, and `schemas/` is generated from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from reconciler.errors import Problem, ReconcileError, UsageError
from reconciler.model import values
from reconciler.model.addresses import GROUP
from reconciler.model.app import App
from reconciler.model.artifact import Artifact
from reconciler.model.defaults import Defaults, Rollout
from reconciler.model.fields import EachOnce, MayBeEmpty, refuse
from reconciler.model.health import HealthCheck
from reconciler.model.machine import HostSpec, Layout, Strict, read_host
from reconciler.model.notify import Notify
from reconciler.model.route import Route
from reconciler.model.sandbox import Sandbox
from reconciler.model.secret import SecretRef
from reconciler.model.traefik import Traefik

__all__ = [
    "App",
    "Artifact",
    "Defaults",
    "Desired",
    "Fleet",
    "HealthCheck",
    "HostSpec",
    "Layout",
    "Rollout",
    "Route",
    "Sandbox",
    "SecretRef",
    "Traefik",
    "read_host",
]


class Fleet(Strict):
    """All machines, and settings for every app. The file is optional: an app may name user@address:port."""

    owner: values.Name | None = Field(
        default=None,
        description="Name of this desired state on its hosts: only apps marked with it are removed. "
        "Default: the repository's first commit.",
    )
    notify: Annotated[tuple[Notify, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(), description="Places to notify when something fails, recovers or is rolled out."
    )
    hosts: Annotated[dict[values.HostName, HostSpec], MayBeEmpty(dict)] = Field(
        default_factory=dict, description="Machines, by the name that apps use."
    )
    defaults: Annotated[Defaults, MayBeEmpty(dict)] = Field(
        default_factory=Defaults, description="Settings for every app, unless the app overrides them."
    )
    traefik: Annotated[Traefik, MayBeEmpty(dict)] = Field(
        default_factory=Traefik, description="The Traefik on the hosts. With a version, reconcile runs it as well."
    )

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The hosts of each group, in the order in which they are written."""
        found: dict[str, list[str]] = {}
        for name, host in self.hosts.items():
            for group in host.groups:
                found.setdefault(group, []).append(name)
        return {group: tuple(hosts) for group, hosts in found.items()}

    @model_validator(mode="after")
    def _check_one_name_a_machine(self) -> Self:
        names: dict[tuple[str, int], str] = {}
        for name, host in self.hosts.items():
            if name == "local" and not host.local:
                raise refuse("local always means this machine", "choose another name", at=("hosts", name))
            if other := names.get(host.machine):
                raise refuse(f"is the same machine as {other}", "keep one of them", at=("hosts", name))
            names[host.machine] = name
        return self


def edges_of(app: App) -> tuple[str, ...]:
    """The hosts whose Traefik sends visitors to the app's hosts; empty if the Traefik of each host does."""
    return app.route.edges if app.route else ()


def routing_hosts(app: App) -> tuple[str, ...]:
    """The hosts whose Traefik has the route of the app."""
    return edges_of(app) or tuple(host for host in app.hosts if app.on(host).route)


@dataclass(frozen=True)
class Desired:
    """The whole desired state at one commit (`revision`; None for files on disk that no commit vouches for)."""

    fleet: Fleet
    apps: tuple[App, ...]
    revision: str | None
    folder: Path
    notes: tuple[str, ...] = ()
    committed_at: float | None = None  # date of that commit, in epoch seconds
    refused: ReconcileError | None = None  # why a newer commit is refused or cannot be fetched
    mirror: Path | None = None  # the bare repository it was read from; None if it is the one around `folder`
    inside: str = ""  # the folder's path in that mirror
    secret_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # below `secrets/`, still encrypted
    environment: str = ""  # the one that it is; "" for production
    environments: tuple[str, ...] = ()  # the names of all there are
    base_owner: str | None = None  # `owner` in fleet.yaml, from which that of an environment is derived
    invalid: tuple[Problem, ...] = ()  # why files were left out of `apps`: it may be looked at, and never applied

    def host(self, name: str) -> HostSpec:
        """The host of this name: from fleet.yaml, else read from the name itself. Raises UsageError."""
        if name in self.fleet.hosts:
            return self.fleet.hosts[name]
        try:
            return read_host(name)
        except ValueError:
            raise UsageError(f"{name!r} is not a host", "name one from fleet.yaml, or user@address:port") from None

    def hosts_in(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names with all hosts of a group in place of group:NAME, each once. An unknown group stays as it is."""
        groups = self.fleet.groups
        found = (groups.get(name.removeprefix(GROUP), (name,)) if name.startswith(GROUP) else (name,) for name in names)
        return tuple(dict.fromkeys(host for hosts in found for host in hosts))

    def host_names(self) -> Iterator[str]:
        """Every host that an app names, sorted, without duplicates."""
        yield from sorted({name for app in self.apps for name in (*app.hosts, *edges_of(app))})
