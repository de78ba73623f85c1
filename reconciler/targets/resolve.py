"""Work out one app on one host in full: every digest, every variable, every file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from reconciler.errors import ReconcileError, SecretError
from reconciler.model.desired import App, SecretRef
from reconciler.model.machine import HostSpec
from reconciler.model.observed import EDGE, HOOKS, TRAEFIK
from reconciler.model.target import LOOPBACK, OwnCertificate, Target, TargetJob, TargetRoute, route_digests
from reconciler.model.traefik import Traefik
from reconciler.targets.health import health_headers, health_path
from reconciler.targets.processes import kin_of
from reconciler.targets.route_secrets import ReadKeyPair, hashes_of, key_pair_of, keys_of, users_of
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles, job_settings
from reconciler.tools.certificates import KeyPair, certificate_path
from reconciler.tools.digests import digest, sha256_of
from reconciler.tools.elixir import node_host, node_name
from reconciler.tools.jobs import job_files
from reconciler.tools.release import release_id
from reconciler.tools.route_settings import Balancer, RouteSettings
from reconciler.tools.start_command import as_one_program, start_program
from reconciler.tools.systemd import UnitSettings
from reconciler.tools.traefik import htpasswd_path

WORKER_SLOT = ("worker",)  # the only slot of an app without ports
BIND = "BIND"  # tells an app that visitors reach by edges the address to listen on


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


def _target_jobs(app: App, host: str, unit: UnitSettings) -> tuple[TargetJob, ...]:
    found = []
    for job in job_settings(app, host):
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
