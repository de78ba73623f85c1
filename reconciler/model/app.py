"""One app, as people write it in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from reconciler.model import addresses, values
from reconciler.model.artifact import Artifact
from reconciler.model.defaults import Common
from reconciler.model.fields import AtLeastOne, EachOnce, MayBeEmpty, refuse
from reconciler.model.hook import Hook, HookValue, read_hook
from reconciler.model.job import MOST_JOBS, Job, JobName
from reconciler.model.observed import HookName
from reconciler.model.overrides import Overrides
from reconciler.model.process import Process, ProcessName
from reconciler.model.process_name import LONGEST_NAME, SEPARATOR, family_of
from reconciler.model.reserved import SET_BY_ELIXIR, SET_FOR_DISTRIBUTION
from reconciler.model.route import Route
from reconciler.model.source import NotASource, read_source


class App(Common):
    """One app: its release, its version, its hosts, and how it runs there."""

    app: values.AppName = Field(description="Name of the app, of its file, of its unit and of the user it runs as.")
    version: values.Version = Field(description="The version to run. Taken literally: 1.10 is not 1.1.")
    artifact: Artifact = Field(description="The release archive and its source.")
    hosts: Annotated[tuple[addresses.HostChoice, ...], EachOnce, AtLeastOne] = Field(
        description="Hosts that run it, in the order of a rollout: names from fleet.yaml or ~/.ssh/config, "
        "user@address:port, local, or group:NAME for a group of fleet.yaml. With ! in front, one that does not."
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

    jobs: Annotated[dict[JobName, Job], MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Programs of the app that run to their end, on a schedule or by hand, by name.",
    )

    before_migrate: values.Command | None = Field(
        default=None,
        description="Command to run before each migration, such as a backup. If it fails, nothing is migrated, and the "
        "rollout has failed.",
    )
    after_rollout: HookValue | None = Field(
        default=None,
        description="Command to run once the version runs on all hosts. If it fails, that is reported and nothing is "
        "undone.",
    )
    on_failure: HookValue | None = Field(
        default=None, description="Command to run after a failed rollout, with the version that was rejected."
    )

    def hook(self, name: HookName) -> Hook | None:
        return read_hook(self.after_rollout if name == "after_rollout" else self.on_failure)

    processes: Annotated[dict[ProcessName, Process], MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Processes beside the web process, such as queue workers, by name. A version is all of them: if "
        "one does not come up, none is changed.",
    )

    overrides: Annotated[dict[addresses.HostOrGroup, Overrides], MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Other values on some hosts, by host or group:NAME. Groups count in the order written; the host "
        "itself counts last.",
    )

    _by_host: Mapping[str, App] = PrivateAttr(default_factory=dict)

    def on(self, host: str) -> App:
        """The app as it is on this host: with the overrides that apply there, and none left to apply."""
        return self._by_host.get(host, self)

    @property
    def variants(self) -> tuple[App, ...]:
        """The app as it is on its hosts: one for each set of overrides, itself if it has none."""
        return tuple({id(each): each for each in map(self.on, self.hosts)}.values())

    def set_variants(self, by_host: Mapping[str, App]) -> None:
        """Say what the app is on each host. For those who make it: afterwards it is as frozen as the rest."""
        self._by_host = by_host

    @property
    def family(self) -> str:
        """The app itself, or the app that it is a process of."""
        return family_of(self.app)

    @property
    def proof_seconds(self) -> tuple[int, int]:
        """How long an instance must be healthy without interruption, and within which time from its start."""
        return (self.health.minimum_healthy_seconds, self.health.healthy_within_seconds) if self.health else (2, 30)

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

    def host_of_job(self, job: str) -> str:
        """The one host that runs this job."""
        return self.jobs[job].host or self.hosts[0]

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
    def _check_edges(self) -> Self:
        if self.route is None or not self.route.edges:
            return self
        if len(self.ports) < 2:
            raise refuse("have only one slot to name", "write two ports, such as [4000, 4001]", at=("route", "edges"))
        if self.health and self.health.tcp:
            message = "ask each instance for a page, and an open port is none"
            raise refuse(message, "write health: {path: /ping}", at=("route", "edges"))
        if self.soak_seconds:
            next_step = "delete soak_seconds, or write soak_seconds: 0 if defaults set it"
            raise refuse("cannot go back to an instance that is kept warm", next_step, at=("route", "edges"))
        if "BIND" in self.env:
            message = "BIND is set by reconcile for an app with edges: the address to listen on"
            raise refuse(message, "delete it here", at=("env", "BIND"))
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
    def _check_overrides(self) -> Self:
        for where, overrides in self.overrides.items():
            if overrides.ports and not self.ports:
                message = "needs ports of the app: with a port or without is two kinds of app"
                raise refuse(message, "write ports for the app", at=("overrides", where, "ports"))
            for key in self.migrate_when:
                if key in overrides.env:
                    message = f"{key} is in migrate_when, and a release migrates once for all hosts"
                    next_step = "write an environment for hosts with a database of their own: environments/NAME.yaml"
                    raise refuse(message, next_step, at=("overrides", where, "env", key))
        return self

    @model_validator(mode="after")
    def _check_before_migrate(self) -> Self:
        if self.before_migrate is not None and self.migrate is None:
            next_step = "write migrate: bin/migrate, or the command of the app"
            raise refuse("needs a migration", next_step, at=("before_migrate",))
        return self

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        names: dict[str, str] = {}
        for key, process in self.processes.items():
            for name in process.names(self.app, key):
                if len(name) > LONGEST_NAME:
                    message = (
                        f"its unit and user would be called {name}: {len(name)} characters (at most {LONGEST_NAME})"
                    )
                    raise refuse(message, "choose a shorter name", at=("processes", key))
                if other := names.get(name):
                    raise refuse(f"{name} would also be one of {other}", "choose another name", at=("processes", key))
                names[name] = key
            for index, host in enumerate(process.hosts):
                if host not in self.hosts:
                    message = f"{self.app} does not run on {host}"
                    raise refuse(message, f"name one of {', '.join(self.hosts)}", at=("processes", key, "hosts", index))
        return self

    @model_validator(mode="after")
    def _check_first_process(self) -> Self:
        """Without ports and start, the first process runs in the app's own unit, on all its hosts."""
        first = next(iter(self.processes), None)
        if first and self.has_first_process_only and self.processes[first].hosts:
            message = "is the app's first process, which runs on all its hosts"
            raise refuse(message, "delete hosts here, or write start: for the app", at=("processes", first, "hosts"))
        return self

    @property
    def has_first_process_only(self) -> bool:
        """True if there is no web process: the first of `processes` takes its place."""
        return bool(self.processes) and not self.ports and self.start is None

    @model_validator(mode="after")
    def _check_distribution_env(self) -> Self:
        for key in sorted(SET_FOR_DISTRIBUTION & self.env.keys()) if self.distribution != "none" else ():
            message = f"{key} is set by reconcile for distribution"
            raise refuse(message, "use ERL_AFLAGS or vm.args instead", at=("env", key))
        return self

    @model_validator(mode="after")
    def _check_jobs(self) -> Self:
        if len(self.jobs) > MOST_JOBS:
            raise refuse(f"are {len(self.jobs)}, and {MOST_JOBS} are allowed", "make two apps of it", at=("jobs",))
        taken = {name for key, process in self.processes.items() for name in process.names(self.app, key)}
        for name, job in self.jobs.items():
            unit, longest = f"{self.app}{SEPARATOR}{name}", LONGEST_NAME
            if unit in taken:
                message = f"its unit would be {unit}, which is that of a process"
                raise refuse(message, "choose another name", at=("jobs", name))
            if len(unit) > longest:
                message = f"its unit would be {unit}, which has {len(unit)} characters (at most {longest})"
                raise refuse(message, f"shorten its name by {len(unit) - longest}", at=("jobs", name))
            if job.host is not None and job.host not in self.hosts:
                message = f"{job.host} is not a host of {self.app}"
                raise refuse(
                    message, f"name one of {', '.join(self.hosts)}, or add it to hosts", at=("jobs", name, "host")
                )
        return self
