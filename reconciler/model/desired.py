"""Desired state: what people write. Frozen and strict; an editor shows each description at its key.

These definitions are the only ones: the loader fills them, and `schemas/` is generated from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from reconciler.errors import Problem, ReconcileError, UsageError
from reconciler.model import addresses, values
from reconciler.model.artifact import Artifact
from reconciler.model.env import Env
from reconciler.model.fields import AtLeastOne, EachOnce, MayBeEmpty, Whole, refuse
from reconciler.model.health import HealthHeaders, HealthHost
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
    """The check that an instance must pass. It is asked on its own port, before any visitor is routed to it."""

    path: values.HealthPath = Field(
        default="/", description="Path that answers 2xx when the app can serve. Redirects are not followed."
    )
    healthy_within_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=60, description="Time from the start of an instance until it must be healthy."
    )
    minimum_healthy_seconds: Annotated[int, Whole(0, 600)] = Field(
        default=2, description="How long it must stay healthy without interruption before it gets traffic."
    )

    host: HealthHost | None = Field(
        default=None, description="Host header of the check. Default: the first domain of the route, as visitors send."
    )
    headers: Annotated[HealthHeaders, MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Headers of the check, besides those that Traefik sends to the app (X-Forwarded-Proto and others); "
        '"" leaves one out.',
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
    """Protections to switch off for an app that does not work with them. Those not named here stay on."""

    write_execute_memory: values.Flag = Field(
        default=False,
        description="Allow memory that is both writable and executable (MemoryDenyWriteExecute=no); for some JITs.",
    )
    devices: values.Flag = Field(
        default=False, description="Show the host's devices (PrivateDevices=no, DevicePolicy=auto)."
    )
    home: values.Flag = Field(default=False, description="Show /home, /root and /run/user (ProtectHome=no).")
    namespaces: values.Flag = Field(
        default=False,
        description="Allow creating namespaces, as browsers and sandboxes do (RestrictNamespaces=no).",
    )
    shared_users: values.Flag = Field(
        default=False,
        description="Run without a user namespace (PrivateUsers=no), for hosts that do not allow one. "
        "In scope user the app can then see the whole home.",
    )
    extra_writable_paths: Annotated[tuple[values.AbsolutePath, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Absolute paths that the app may write to besides its own folders (ReadWritePaths=).",
    )
    extra_ports: Annotated[tuple[Annotated[int, Whole(1, 65535)], ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="TCP ports that it may listen on besides its own (SocketBindAllow=), such as one for metrics.",
    )
    capabilities: Annotated[tuple[values.Capability, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Capabilities to keep (CapabilityBoundingSet=, AmbientCapabilities=, PrivateUsers=no).",
    )


class Rollout(Strict):
    """A version is proven on the first host, then rolled out in batches. If it fails on a host, the rollout stops."""

    batch: values.Batch = Field(
        default="1", description="Hosts at a time after the first: a number, or a share such as 25%."
    )
    on_failure: Literal["stop", "rollback"] = Field(
        default="stop",
        description="If a version fails on one host: stop there, or also roll back the hosts that have it already.",
    )


class Common(Strict):
    """The keys that an app can also get from `defaults` in fleet.yaml."""

    env: Env = Field(
        default_factory=dict,
        description="Environment variables. Text arrives unchanged; {secret: name} is looked up.",
    )
    health: HealthCheck | None = Field(default=None, description="Health check. Without it, / must answer 2xx.")
    drain_seconds: Annotated[int, Whole(0, 3600)] = Field(
        default=10,
        description="Longest wait for open requests of the old instance after the cutover.",
    )
    soak_seconds: Annotated[int, Whole(0, 86_400)] = Field(
        default=0,
        description="How long the old instance stays warm after the cutover, to take over again if the new one fails.",
    )
    drift: Literal["correct", "warn"] = Field(
        default="correct", description="Correct changes that were made on a host by hand, or only warn about them."
    )
    rollout: Rollout = Field(
        default_factory=lambda: Rollout(), description="How a version is rolled out to several hosts."
    )
    stop_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=30, description="Time to stop after SIGTERM, before SIGKILL (TimeoutStopSec)."
    )
    migrate_within_seconds: Annotated[int, Whole(1, 86_400)] = Field(
        default=300, description="Time limit of `migrate`; after it the rollout has failed."
    )
    keep_releases: Annotated[int, Whole(2, 100)] = Field(
        default=3, description="Releases to keep on a host, including the running one."
    )
    memory_max: values.Memory | None = Field(
        default=None,
        description="Memory limit of one instance: 512M, 2G or a share (MemoryMax). Default: 40%, with one port 80%.",
    )
    cpu_max: values.CpuShare | None = Field(
        default=None, description="CPU limit of one instance: 50% of one core, 200% for two (CPUQuota)."
    )
    sandbox: Annotated[Sandbox, MayBeEmpty(dict)] = Field(
        default_factory=Sandbox, description="Protections to switch off, by name."
    )
    distribution: Literal["none", "sname", "name"] = Field(
        default="none",
        description="Erlang distribution: none, sname (on one host: console, rpc) or name (between hosts, see docs).",
    )


class Defaults(Common):
    """Settings for every app of the fleet. An app's own key overrides them; `env` is merged key by key."""


class App(Common):
    """One app: its release, its version, its hosts, and how it runs there."""

    app: values.AppName = Field(description="Name of the app, of its file, of its unit and of the user it runs as.")
    version: values.Version = Field(description="The version to run. Taken literally: 1.10 is not 1.1.")
    artifact: Artifact = Field(description="The release archive and its source.")
    hosts: Annotated[tuple[addresses.HostTarget, ...], EachOnce, AtLeastOne] = Field(
        description="Hosts that run it: names from fleet.yaml or ~/.ssh/config, user@address:port, or local."
    )
    ports: Annotated[tuple[values.Port, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Ports of the slots. Two are used in turn, without downtime; with one, the old instance stops "
        "before the new one starts.",
    )
    firewalled: values.Flag = Field(
        default=False,
        description="Visitors cannot reach the ports of the app past Traefik, although it listens on every address: "
        "a firewall keeps them out. Without it, plan and status report such ports.",
    )
    start: values.Command | None = Field(
        default=None, description="Start command, run in the release folder. Default: bin/<app> start."
    )
    moved_from: values.AppName | None = Field(
        default=None, description="The app's former name. The app of that name is removed only when this one serves."
    )
    after: Annotated[tuple[values.AppOrUnit, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Apps that must be converged on all their hosts before this one is changed. Units of the system, "
        "such as postgresql.service, start before an instance at boot and stop after it at shutdown.",
    )
    route: Route | None = Field(
        default=None, description="Route for visitors through Traefik; leave it out for a worker."
    )
    migrate: values.Command | None = Field(
        default=None,
        description="Command to run once per release, with the new code and env, before the new instance starts.",
    )
    migrate_when: Annotated[tuple[values.EnvKey, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Variables in env, such as DATABASE_URL, with a new value of which a release migrates again.",
    )

    @property
    def after_units(self) -> tuple[str, ...]:
        """Those of `after` that are units of the system. An app has no dot in its name."""
        return tuple(name for name in self.after if "." in name)

    @property
    def memory_limit(self) -> str:
        """The memory limit of one instance, for MemoryMax.

        During a swap two instances run: the default leaves room for both, for Traefik and for the system.
        """
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

    @field_validator("ports", mode="before")
    @classmethod
    def _check_no_auto(cls, written: object) -> object:
        if written == "auto":
            raise refuse("are not chosen yet", "reconcile set APP VERSION writes two free ones here, once and for all")
        return written

    @field_validator("ports")
    @classmethod
    def _check_two_ports(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if len(ports) > 2:
            raise refuse(f"names {len(ports)} ports", "two are enough: one serves, the new version starts on the other")
        return ports

    @property
    def lost_variables(self) -> list[str]:
        """Variables in `env` that never reach the app: the default start script, an Elixir release's, overwrites them.

        Sorted; empty if `start` is set.
        """
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
                raise refuse("needs a port", "write ports: [4000, 4001]", at=(key,))
        return self

    @model_validator(mode="after")
    def _check_migrate_when(self) -> Self:
        for index, key in enumerate(self.migrate_when):
            if self.migrate is None:
                raise refuse(
                    "needs a migration", "write migrate: bin/migrate, or the command of the app", at=("migrate_when",)
                )
            if key not in self.env:
                raise refuse(f"{key} is not in env", "name a variable of env", at=("migrate_when", index))
        return self

    @model_validator(mode="after")
    def _check_distribution_env(self) -> Self:
        for key in sorted(SET_FOR_DISTRIBUTION & self.env.keys()) if self.distribution != "none" else ():
            message = f"{key} is set by reconcile for distribution"
            raise refuse(message, "use ERL_AFLAGS or vm.args instead", at=("env", key))
        return self


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
    invalid: tuple[Problem, ...] = ()  # why files were left out of `apps`: it may be looked at, and never applied

    def host(self, name: str) -> HostSpec:
        """The host of this name: from fleet.yaml, else read from the name itself. Raises UsageError."""
        if name in self.fleet.hosts:
            return self.fleet.hosts[name]
        try:
            return read_host(name)
        except ValueError:
            raise UsageError(f"{name!r} is not a host", "name one from fleet.yaml, or user@address:port") from None

    def host_names(self) -> Iterator[str]:
        """Every host that an app names, sorted, without duplicates."""
        yield from sorted({name for app in self.apps for name in app.hosts})
