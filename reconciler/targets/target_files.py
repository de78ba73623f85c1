"""One app on one host in full: the target to decide on, and the texts to write for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.action import RunHook
from reconciler.model.desired import App
from reconciler.model.identity import Identity
from reconciler.model.machine import Layout
from reconciler.model.target import Target
from reconciler.targets.site import HostSite
from reconciler.tools.jobs import JobSettings, job_files
from reconciler.tools.masks import mask
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.start_command import as_one_program
from reconciler.tools.systemd import UnitSettings, env_file, epmd_text, unit_text
from reconciler.tools.traefik import edge_keys, edge_route_text, route_text
from reconciler.words import printable


@dataclass(frozen=True)
class TargetFiles:
    """The target to decide on, and the files to write for it. Values of variables never show in a repr."""

    target: Target
    app: App | None  # None: the app is to be removed
    site: HostSite
    unit: UnitSettings | None
    route: RouteSettings | None
    folder: Path  # the desired-state folder; relative artifact paths start there
    variables: dict[str, str] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)  # values to mask wherever the app's output is shown

    @property
    def key(self) -> tuple[str, str]:
        """(app, host)"""
        return self.target.app, self.target.host

    @property
    def stop_seconds(self) -> int:
        return self.app.stop_seconds if self.app else 30

    @property
    def migrate_within_seconds(self) -> int:
        return self.app.migrate_within_seconds if self.app else 0

    @property
    def hook_within_seconds(self) -> int:
        return self.app.hook_within_seconds if self.app else 0

    @property
    def layout(self) -> Layout:
        return self.site.layout

    def wants_the_same(self, other: TargetFiles) -> bool:
        """True if work on this target may go on when `other` replaces it.

        An artifact that is not available now (no release id) makes no difference.
        """
        releases = {files.target.releases for files in (self, other) if any(files.target.releases)}
        return len(releases) < 2 and self._asked == other._asked

    @property
    def _asked(self) -> tuple[object, ...]:
        return self.app, self.site, self.unit, self.route, self.target.route, self.folder, self.variables, self.secrets

    @property
    def word(self) -> str:
        """The app and its slots, as the look script takes them."""
        return f"{self.target.app}:{','.join(self.target.slots)}"

    def env_text(self, identity: Identity) -> str:
        return env_file(identity, self.variables, self.target.env_keys)

    def migrate_env_text(self, identity: Identity) -> str:
        """The env file of a migration: the same variables, plus those with its command and with its hook's."""
        commands = {"RECONCILE_MIGRATE": (self.app and self.app.migrate) or ""}
        if self.app and self.app.before_migrate:
            commands["RECONCILE_BEFORE_MIGRATE"] = self.app.before_migrate
        return env_file(identity, {**self.variables, **commands}, ())

    def hook_env_text(self, action: RunHook) -> str:
        """The env file of a hook: the same variables, plus its command, the version, and why a rollout has failed."""
        hook = self.app and self.app.hook(action.hook)
        more = {"RECONCILE_HOOK": hook.run if hook else "", "RECONCILE_VERSION": action.identity.version}
        if action.hook == "on_failure":
            more["RECONCILE_REASON"] = printable(self.mask(action.reason))
        return env_file(action.identity, {**self.variables, **more}, ())

    def unit_text(self) -> str:
        assert self.unit is not None
        return unit_text(self.unit)

    def slot_files(self, identity: Identity) -> dict[str, str]:
        """The files of a slot, by the names that `write_slot` in prelude.sh uses."""
        files = {"env": self.env_text(identity), "unit": self.unit_text()}
        if self.unit and self.unit.node_host:
            files["epmd"] = epmd_text(self.layout.releases, self.site.spec.private_address)
        return files

    def job_files(self, held_back: tuple[str, ...] = ()) -> dict[str, str]:
        """The units of the jobs that run on this host but for these, by the names of their files."""
        if self.app is None or self.unit is None:
            return {}
        jobs = [job for job in job_settings(self.app, self.target.host) if job.name not in held_back]
        return {name: text for job in jobs for name, text in job_files(job, self.unit).items()}

    def route_text(self, slot: str, attempt: int = 0, *, held: bool = False) -> str:
        assert self.route is not None
        return route_text(self.route, slot, attempt, held=held)

    def edge_route_text(self, servers: tuple[tuple[str, str], ...], attempt: int) -> str:
        """The route file of an edge that sends visitors to these slots, one of each host."""
        assert self.route is not None
        return edge_route_text(self.route, servers, attempt)

    def edge_keys(self, servers: tuple[tuple[str, str], ...], attempt: int) -> dict[str, str]:
        """The same route for etcd; nothing if it lies in files alone."""
        if self.route is None or self.route.balancer is None or not self.route.balancer.in_etcd:
            return {}
        return edge_keys(self.route, servers, attempt)

    def mask(self, text: str) -> str:
        """The text with the values of secrets masked."""
        return mask(text, self.secrets)


def removal(site: HostSite, app: str, waits_for: str | None = None, *, too_many: bool = False) -> TargetFiles:
    """The target for an app that must be removed from this host."""
    target = Target.removal(site.name, app, waits_for, too_many=too_many)
    return TargetFiles(target, None, site, None, None, Path(), {}, frozenset())


def job_settings(app: App, host: str) -> list[JobSettings]:
    """The jobs of the app that run on this host, by name."""
    return [
        JobSettings(
            name,
            as_one_program(job.run, takes_arguments=True),
            job.at,
            job.within_minutes,
            job.catch_up,
            job.memory_max or app.memory_limit,
            job.cpu_max or app.cpu_max,
        )
        for name, job in sorted(app.jobs.items())
        if app.host_of_job(name) == host
    ]
