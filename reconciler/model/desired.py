"""Desired state: what people write. Frozen and strict; each description is what an editor shows at that key.

The definitions here are the only ones: the loader fills them, `schemas/` is printed from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from reconciler.errors import ReconcileError, UsageError
from reconciler.model import addresses, values
from reconciler.model.artifact import Artifact
from reconciler.model.env import Env
from reconciler.model.fields import AtLeastOne, EachOnce, MayBeEmpty, Whole, refuse
from reconciler.model.machine import HostSpec, Layout, Strict, read_host
from reconciler.model.notify import Notify
from reconciler.model.reserved import SET_BY_ELIXIR, SET_FOR_DISTRIBUTION
from reconciler.model.route import Route
from reconciler.model.secret import SecretRef
from reconciler.model.source import NotASource, read_source
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
    "Route",
    "Sandbox",
    "SecretRef",
    "Traefik",
    "read_host",
]


class HealthCheck(Strict):
    """When an instance counts as healthy; we ask it on its own port, before any visitor reaches it."""

    path: values.HealthPath = Field(
        default="/", description="Path that answers 2xx when the app can serve. Redirects are not followed."
    )
    healthy_within_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=60, description="Time from the start of an instance until it must be healthy."
    )
    minimum_healthy_seconds: Annotated[int, Whole(0, 600)] = Field(
        default=2, description="How long it must stay healthy, without a break, before it gets traffic."
    )

    @model_validator(mode="after")
    def _check_seconds(self) -> Self:
        if self.minimum_healthy_seconds > self.healthy_within_seconds:
            raise refuse(
                f"{self.minimum_healthy_seconds} is more than healthy_within_seconds",
                f"lower it, or raise healthy_within_seconds ({self.healthy_within_seconds})",
                at=("minimum_healthy_seconds",),
            )
        return self


class Sandbox(Strict):
    """Protections to switch off for an app that cannot live with them. What is left out stays protected."""

    write_execute_memory: values.Flag = Field(
        default=False,
        description="Allow memory both writable and executable (MemoryDenyWriteExecute=no); for some JITs.",
    )
    devices: values.Flag = Field(
        default=False, description="Show the host's devices (PrivateDevices=no, DevicePolicy=auto)."
    )
    home: values.Flag = Field(default=False, description="Show /home, /root and /run/user (ProtectHome=no).")
    namespaces: values.Flag = Field(
        default=False,
        description="Allow making namespaces, as browsers and sandboxes do (RestrictNamespaces=no).",
    )
    shared_users: values.Flag = Field(
        default=False,
        description="No user namespace of its own (PrivateUsers=no), for hosts that refuse one. "
        "In scope user nothing then hides the home from the app.",
    )
    extra_writable_paths: Annotated[tuple[values.AbsolutePath, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Absolute paths the app may write to besides its own folders (ReadWritePaths=).",
    )
    extra_ports: Annotated[tuple[Annotated[int, Whole(1, 65535)], ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="TCP ports besides its own on which it may listen (SocketBindAllow=), such as one for metrics.",
    )
    capabilities: Annotated[tuple[values.Capability, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Kept capabilities (CapabilityBoundingSet=, AmbientCapabilities=, PrivateUsers=no).",
    )


class Rollout(Strict):
    """The first host proves a version; then it goes on in batches. A host where it fails stops the rest."""

    batch: values.Batch = Field(
        default="1", description="Hosts at a time after the first: a number, or a share such as 25%."
    )
    on_failure: Literal["stop", "rollback"] = Field(
        default="stop",
        description="When a version fails on one host: stop there, or also take the hosts back that have it already.",
    )


class Common(Strict):
    """What an app says for itself or gets from `defaults` in fleet.yaml."""

    env: Env = Field(
        default_factory=dict,
        description="Environment. Every string arrives unchanged; {secret: name} is looked up.",
    )
    health: HealthCheck | None = Field(default=None, description="Health check; asks / if nothing is written.")
    drain_seconds: Annotated[int, Whole(0, 3600)] = Field(
        default=10,
        description="Longest wait for open requests of the old instance after traffic has left it.",
    )
    soak_seconds: Annotated[int, Whole(0, 86_400)] = Field(
        default=0,
        description="After the cutover the old instance stays warm so long, and takes over again if the new one fails.",
    )
    drift: Literal["correct", "warn"] = Field(
        default="correct", description="What somebody changed on a host is put back (correct) or only reported (warn)."
    )
    rollout: Rollout = Field(default_factory=lambda: Rollout(), description="How a version goes over several hosts.")
    stop_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=30, description="Time to end after SIGTERM, then SIGKILL (TimeoutStopSec)."
    )
    migrate_within_seconds: Annotated[int, Whole(1, 86_400)] = Field(
        default=300, description="Longest run of `migrate`; past it the rollout has failed."
    )
    keep_releases: Annotated[int, Whole(2, 100)] = Field(
        default=3, description="Releases kept on a host, the running one included."
    )
    memory_max: values.Memory | None = Field(
        default=None,
        description="Memory limit of one instance: 512M, 2G or a share (MemoryMax). Without it 40%, on one port 80%.",
    )
    cpu_max: values.CpuShare | None = Field(
        default=None, description="CPU limit of one instance: 50% of one core, 200% for two (CPUQuota)."
    )
    sandbox: Annotated[Sandbox, MayBeEmpty(dict)] = Field(
        default_factory=Sandbox, description="Protections to switch off, by name."
    )
    distribution: Literal["none", "sname", "name"] = Field(
        default="none",
        description="Erlang distribution: none, sname (this host: console, rpc) or name (between hosts, see docs).",
    )


class Defaults(Common):
    """Settings for every app of the fleet. An app that has the key wins; `env` is joined key by key."""


class App(Common):
    """One app: what runs, in which version, and where."""

    app: values.AppName = Field(description="Name of the app: the file's name, the unit's, and the user it runs as.")
    version: values.Version = Field(description="The version to run. Taken literally: 1.10 is not 1.1.")
    artifact: Artifact = Field(description="Where the release archive is.")
    hosts: Annotated[tuple[addresses.HostTarget, ...], EachOnce, AtLeastOne] = Field(
        description="Where it runs: names from fleet.yaml or ~/.ssh/config, user@address:port, or local."
    )
    ports: Annotated[tuple[values.Port, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="The slots: two ports, used in turn, for a swap without downtime; one means stop first.",
    )
    start: values.Command | None = Field(
        default=None, description="Start command, from the release folder; bin/<app> start."
    )
    moved_from: values.AppName | None = Field(
        default=None, description="The app's former name: that app is removed only when this one serves."
    )
    after: Annotated[tuple[values.AppName, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(), description="Apps that must be converged everywhere before this one is changed."
    )
    route: Route | None = Field(default=None, description="Visitors through Traefik; leave it out for a worker.")
    migrate: values.Command | None = Field(
        default=None,
        description="Runs once per release, with the new code and env, before the new instance starts.",
    )

    @property
    def memory_limit(self) -> str:
        """During a swap two instances run: both must leave room for each other, for Traefik and for the system."""
        return self.memory_max or ("40%" if len(self.ports) == 2 else "80%")

    @property
    def start_command(self) -> str:
        return self.start or f"bin/{self.app} start"

    @model_validator(mode="before")
    @classmethod
    def _add_health(cls, written: object) -> object:
        if isinstance(written, dict) and written.get("ports") and written.get("health") is None:
            return {**written, "health": {}}
        return written

    @field_validator("ports")
    @classmethod
    def _check_two_ports(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if len(ports) > 2:
            raise refuse(f"names {len(ports)} ports", "two are enough: one serves, the other is the next to start")
        return ports

    @property
    def lost_variables(self) -> list[str]:
        """Variables that do not arrive: the start script of an Elixir release, the default, sets them for itself."""
        return sorted(SET_BY_ELIXIR & self.env.keys()) if self.start is None else []

    @model_validator(mode="after")
    def _check_source_of_version(self) -> Self:
        try:
            read_source(self.artifact.source, self.version)
        except NotASource as error:
            raise refuse(f"with version {self.version} {error}", error.next_step, at=("artifact", "source")) from None
        return self

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        for key in ("route", "health"):
            if getattr(self, key) is not None and not self.ports:
                raise refuse("needs a port to ask", "write ports: [4000, 4001]", at=(key,))
        return self

    @model_validator(mode="after")
    def _check_distribution_env(self) -> Self:
        for key in sorted(SET_FOR_DISTRIBUTION & self.env.keys()) if self.distribution != "none" else ():
            raise refuse(f"{key} is set by us for distribution", "use ERL_AFLAGS or vm.args instead", at=("env", key))
        return self


class Fleet(Strict):
    """All machines, and what holds for every app. The file is optional: an app may name user@address:port."""

    owner: values.Name | None = Field(
        default=None,
        description="Name of this desired state on its hosts; only what carries it is removed. Else: the repository.",
    )
    notify: Annotated[tuple[Notify, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(), description="Who is told when something fails, recovers or is rolled out."
    )
    hosts: Annotated[dict[values.HostName, HostSpec], MayBeEmpty(dict)] = Field(
        default_factory=dict, description="Machines by the name that apps use."
    )
    defaults: Annotated[Defaults, MayBeEmpty(dict)] = Field(
        default_factory=Defaults, description="Settings for every app that does not say otherwise."
    )
    traefik: Annotated[Traefik, MayBeEmpty(dict)] = Field(
        default_factory=Traefik, description="The Traefik on the hosts; with a version, reconcile looks after it too."
    )

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


@dataclass(frozen=True)
class Desired:
    """All that people want, at one commit (`revision`; None for files as they lie on disk)."""

    fleet: Fleet
    apps: tuple[App, ...]
    revision: str | None
    folder: Path
    notes: tuple[str, ...] = ()
    committed_at: float | None = None  # of that commit, in epoch seconds
    refused: ReconcileError | None = None  # why a newer commit does not count, or cannot be had
    mirror: Path | None = None  # the bare repository it was read from, when there is none around `folder`
    inside: str = ""  # the folder's path in that mirror
    secret_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # below `secrets/`, still encrypted

    def host(self, name: str) -> HostSpec:
        """The host of that name: one from fleet.yaml, else what the name says by itself."""
        if name in self.fleet.hosts:
            return self.fleet.hosts[name]
        try:
            return read_host(name)
        except ValueError:
            raise UsageError(f"{name!r} is not a host", "name one from fleet.yaml, or user@address:port") from None

    def host_names(self) -> Iterator[str]:
        """Every host that an app names, each once, in order."""
        yield from sorted({name for app in self.apps for name in app.hosts})
