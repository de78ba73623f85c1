"""Work out one app on one host in full: every digest, every variable, every file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path

from reconciler.dataclass import dataclass
from reconciler.errors import ReconcileError, SecretError
from reconciler.model.action import RunHook
from reconciler.model.desired import App, SecretRef
from reconciler.model.etcd import Etcd, EtcdTls
from reconciler.model.identity import Identity
from reconciler.model.machine import HostSpec, Layout
from reconciler.model.observed import EDGE, HOOKS, TRAEFIK, ObservedHost
from reconciler.model.target import LOOPBACK, OwnCertificate, Target, TargetJob, TargetRoute, route_digests
from reconciler.model.traefik import Traefik
from reconciler.targets.health import health_headers, health_path
from reconciler.targets.processes import kin_of
from reconciler.targets.route_secrets import ReadKeyPair, hashes_of, key_pair_of, keys_of, users_of
from reconciler.tools.certificates import KeyPair, certificate_path
from reconciler.tools.digests import digest, sha256_of
from reconciler.tools.elixir import node_host, node_name
from reconciler.tools.etcd import EtcdAccess
from reconciler.tools.jobs import JobSettings, job_files
from reconciler.tools.masks import mask
from reconciler.tools.release import release_id
from reconciler.tools.start_command import as_one_program, start_program
from reconciler.tools.systemd import UnitSettings, env_file, epmd_text, unit_text
from reconciler.tools.traefik import (
    Balancer,
    RouteSettings,
    edge_keys,
    edge_route_text,
    htpasswd_path,
    route_text,
)
from reconciler.words import printable

WORKER_SLOT = ("worker",)  # the only slot of an app without ports
BIND = "BIND"  # tells an app that visitors reach by edges the address to listen on


@dataclass(frozen=True)
class EtcdStore:
    """The etcd that the Traefik of every edge reads."""

    access: EtcdAccess
    edges: Mapping[str, tuple[str, ...]]  # of each app that has any

    def keeps(self, app: str, host: str) -> bool:
        """True if the route of the app stays there when this host gives up its own."""
        return app in self.edges and host not in self.edges[app]


@dataclass(frozen=True)
class HostSite:
    """A host of the fleet: how to reach it, its folders, and the ports of its Traefik's API."""

    name: str
    spec: HostSpec
    api_ports: tuple[int, ...]
    etcd: EtcdStore | None = None  # where the routes of edges lie, if not in files

    @property
    def layout(self) -> Layout:
        return self.spec.paths

    @property
    def traefik_is_ours(self) -> bool:
        """True if reconcile manages the Traefik, which then has two slots with a port each."""
        return len(self.api_ports) > 1


def api_ports(seen: ObservedHost, site: HostSite) -> tuple[int, ...]:
    """The ports on which to ask Traefik's API: those where a unit of Traefik listens. Others may be squatted.

    A Traefik that reconcile does not manage may run in any unit: the program that answers on its port is taken for it.
    """
    others = () if site.traefik_is_ours else site.api_ports
    return tuple(sorted({*seen.traefik_listens, *seen.app(TRAEFIK).hand_ports, *others}))


def api_port(seen: ObservedHost, site: HostSite) -> int:
    """The API port of the Traefik that is live on the host."""
    ports = seen.traefik_listens or seen.traefik_ports
    slots = [slot for slot in seen.app(TRAEFIK).slots if slot.name.isdigit() and int(slot.name) in ports]
    live = [slot for slot in slots if slot.enabled] or slots
    return int(live[0].name) if live else site.api_ports[0]


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
        jobs = [job for job in _job_settings(self.app, self.target.host) if job.name not in held_back]
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


def resolve(
    app: App,
    site: HostSite,
    traefik: Traefik,
    folder: Path,
    artifact_digest: str | None,
    secret: Callable[[str], str],
    cluster: tuple[str, ...] = (),
    key_pair: ReadKeyPair = key_pair_of,
) -> TargetFiles:
    """Work out the target of one app on one host. Raises SecretError and whatever else `secret` raises.

    `secret(name)` returns the value of a secret. `cluster` has the names of all nodes of the app, see `cluster_of`.
    """
    values = _values(app, secret)
    secrets = frozenset(values[key] for key, value in app.env.items() if isinstance(value, SecretRef) and values[key])
    variables = {**values, "RECONCILE_START": as_one_program(app.start_command)}
    if cluster:
        variables["RECONCILE_CLUSTER"] = " ".join(cluster)
    users = users_of(app, secret)
    pair = key_pair(app, secret)
    secrets |= {*users, *hashes_of(users), *keys_of(pair)}
    edges = app.route.edges if app.route else ()
    address = (site.spec.private_address if edges else None) or LOOPBACK
    if edges:
        variables[BIND] = address
    keys = tuple((key, digest(value)) for key, value in sorted(variables.items()))
    unit = _unit_settings(app, site.spec)
    route = None if edges else _route_settings(app, site, traefik, users, pair)
    slots = tuple(str(port) for port in app.ports) or WORKER_SLOT
    headers = health_headers(app, traefik)
    minimum_healthy_seconds, healthy_within_seconds = app.proof_seconds
    target = Target(
        host=site.name,
        app=app.app,
        version=app.version,
        release=release_id(app.version, artifact_digest) if artifact_digest else None,
        env=digest(variables),
        unit=unit.digest,
        slots=slots,
        env_keys=keys,
        route=_target_route(route, slots, site) if route else _route_at_edges(app, slots) if edges else None,
        health_path=health_path(app),
        health_headers=headers,
        port_asked=app.health is not None,
        healthy_within_seconds=healthy_within_seconds,
        minimum_healthy_seconds=minimum_healthy_seconds,
        drain_seconds=app.drain_seconds,
        migrates=bool(app.migrate),
        before_migrate=bool(app.before_migrate),
        hooks=tuple(name for name in HOOKS if app.hook(name)),
        hooks_each_host=tuple(name for name in HOOKS if (hook := app.hook(name)) and hook.each_host),
        migrate_when=app.migrate_when,
        migrate_env=digest([(key, variables[key]) for key in app.migrate_when]) if app.migrate_when else "",
        runs_own_program=start_program(app.start_command) is not None,
        keep_releases=app.keep_releases,
        soak_seconds=app.soak_seconds,
        attempt=_attempt(app, headers),
        jobs=_target_jobs(app, site.name, unit),
        firewalled=app.firewalled,
        only_report_drift=app.drift == "warn",
        address=address,
        edges=edges,
        proxy=app.app == TRAEFIK,
    )
    return TargetFiles(target, app, site, unit, route, folder, variables, secrets)


def etcd_access(etcd: Etcd, secret: Callable[[str], str]) -> EtcdAccess:
    """How to ask the etcd, with the values of its secrets. Raises SecretError and whatever else `secret` raises."""

    def text(value: str | SecretRef | None) -> str:
        return secret(value.secret) if isinstance(value, SecretRef) else value or ""

    tls = etcd.tls or EtcdTls()
    return EtcdAccess(
        etcd.endpoints,
        ca=text(tls.ca),
        user=etcd.username or "",
        password=text(etcd.password),
        certificate=text(tls.certificate),
        key=text(tls.key),
    )


def resolve_edge(
    app: App,
    site: HostSite,
    traefik: Traefik,
    folder: Path,
    secret: Callable[[str], str],
    places: tuple[tuple[str, str], ...],
    key_pair: ReadKeyPair = key_pair_of,
) -> TargetFiles:
    """Work out what an edge routes to the app: `places` has each host of the app and its private address."""
    assert app.route is not None
    users = users_of(app, secret)
    pair = key_pair(app, secret)
    in_etcd = traefik.routes == "etcd"
    headers = health_headers(app, traefik)
    check = Balancer(places, health_path(app) or "/", headers, sticky=app.route.sticky, in_etcd=in_etcd)
    settings = _route_settings(app, site, traefik, users, pair)
    assert settings is not None
    settings = replace(settings, balancer=check)
    route = TargetRoute(
        app.route.domains,
        {EDGE: settings.edge_digest},
        settings.parts,
        (settings.entry_point,),
        settings.certified,
        settings.guarded,
        in_etcd=in_etcd,
        certificate=_own_certificate(settings),
    )
    target = Target(site.name, app.app, app.version, None, "", "", (), route=route, places=places)
    target = replace(target, only_report_drift=app.drift == "warn")
    return TargetFiles(
        target, app, site, None, settings, folder, {}, frozenset({*users, *hashes_of(users), *keys_of(pair)})
    )


def _attempt(app: App, headers: tuple[tuple[str, str], ...]) -> str:
    """The digest of what decides about success besides release, env and unit: the migration and the health check."""
    parts = [app.migrate, app.migrate_within_seconds, app.health and app.health.model_dump(), headers]
    if app.before_migrate:
        parts += [app.before_migrate, app.hook_within_seconds]
    if kin := kin_of(app):
        parts.append(kin)
    return digest(parts)


def _values(app: App, secret: Callable[[str], str]) -> dict[str, str]:
    """The value of every variable. Raises SecretError, which names each missing key and secret but no value."""
    values: dict[str, str] = {}
    troubles: list[tuple[str, ReconcileError]] = []
    for key, value in app.env.items():
        try:
            values[key] = secret(value.secret) if isinstance(value, SecretRef) else value
        except ReconcileError as error:
            troubles.append((key, error))
    if troubles:
        message = "; ".join(f"env {key}: {error}" for key, error in troubles)
        raise SecretError(message, troubles[0][1].next_step)
    return values


def cluster_of(app: App, hosts: Iterable[HostSpec]) -> tuple[str, ...]:
    """The names of all nodes the app can have: one for each slot and host, running or not, so equal on all hosts."""
    if app.distribution != "name":
        return ()
    nodes = [
        (node_host(app.distribution, spec.private_address), app.on(name).ports)
        for name, spec in zip(app.hosts, hosts, strict=True)
    ]
    return tuple(node_name(app.app, slot, place) for place, ports in nodes for slot in map(str, ports or WORKER_SLOT))


def _unit_settings(app: App, spec: HostSpec) -> UnitSettings:
    return UnitSettings(
        app=app.app,
        layout=spec.paths.at_home("%h").model_dump(),
        sandbox=app.sandbox.model_dump(),
        stop_seconds=app.stop_seconds,
        memory_max=app.memory_limit,
        cpu_max=app.cpu_max,
        distribution=app.distribution,
        node_host=node_host(app.distribution, spec.private_address),
        has_port=bool(app.ports),
        ports=(*app.ports, *app.sandbox.extra_ports),
        scope=spec.scope,
        after=app.after_units,
    )


def _job_settings(app: App, host: str) -> list[JobSettings]:
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


def _target_jobs(app: App, host: str, unit: UnitSettings) -> tuple[TargetJob, ...]:
    found = []
    for job in _job_settings(app, host):
        files = tuple((name, sha256_of(text)) for name, text in sorted(job_files(job, unit).items()))
        found.append(TargetJob(job.name, files, timed=job.at is not None, zoned=app.jobs[job.name].zoned))
    return tuple(found)


def _route_settings(
    app: App, site: HostSite, traefik: Traefik, users: tuple[str, ...], pair: KeyPair | None
) -> RouteSettings | None:
    route = app.route
    if route is None:
        return None
    entry_point = traefik.https_entry_point if route.tls else traefik.http_entry_point
    if route.tcp:
        entry_point = route.tcp.entry_point
    htpasswd = htpasswd_path(site.layout.traefik, app.app) if site.spec.scope == "system" else ""
    settings = RouteSettings(app.app, route, entry_point, traefik.resolver, users, traefik.trusted_proxies, htpasswd)
    return replace(settings, certificate=pair, certificate_file=certificate_path(site.layout.traefik, app.app))


def _own_certificate(route: RouteSettings) -> OwnCertificate | None:
    pair = route.certificate
    return OwnCertificate(pair.secret, pair.names, pair.ends_epoch_seconds) if pair else None


def _target_route(route: RouteSettings, slots: tuple[str, ...], site: HostSite) -> TargetRoute:
    digests = {slot: route.digest(slot) for slot in slots}
    # A user's own systemd may not listen on port 1.
    held = {slot: route.digest(slot, held=True) for slot in slots} if site.spec.scope == "system" else {}
    domains = route.route.tcp.domains if route.route.tcp else route.route.domains
    return TargetRoute(
        domains,
        digests,
        route.parts,
        (route.entry_point,),
        route.certified,
        route.guarded,
        held,
        certificate=_own_certificate(route),
    )


def _route_at_edges(app: App, slots: tuple[str, ...]) -> TargetRoute:
    """The route of an app on its own host, while its edges serve it: the slot is all that the host has to know."""
    assert app.route is not None
    guarded = RouteSettings(app.app, app.route, "", None).guarded
    return TargetRoute(app.route.domains, route_digests(slots), guarded=guarded)
