"""One app on one host, worked out in full: every digest, every variable, every text it takes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.desired import App, SecretRef
from reconciler.model.machine import HostSpec, Layout, Traefik
from reconciler.model.observed import Identity
from reconciler.model.wanted import Wanted, WantedRoute
from reconciler.tools.digests import digest
from reconciler.tools.release import release_id
from reconciler.tools.systemd import UnitSettings, env_file, unit_text
from reconciler.tools.traefik import RouteSettings, route_text

WORKER_SLOT = ("worker",)  # the only slot of an app without ports


@dataclass(frozen=True)
class Site:
    """A host of the fleet: how to reach it, where things lie on it, where its Traefik is asked."""

    name: str
    spec: HostSpec
    api_port: int

    @property
    def layout(self) -> Layout:
        return self.spec.paths


@dataclass(frozen=True)
class Target:
    """What to decide on (`wanted`) and what to write. Values of variables never show in a repr."""

    wanted: Wanted
    app: App | None  # None: the app is to be removed
    site: Site
    unit: UnitSettings | None
    route: RouteSettings | None
    folder: Path  # the desired-state folder; artifact paths count from there
    variables: dict[str, str] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)  # values to mask wherever text of the app is shown

    @property
    def stop_seconds(self) -> int:
        return self.app.stop_seconds if self.app else 30

    @property
    def migrate_within_seconds(self) -> int:
        return self.app.migrate_within_seconds if self.app else 0

    @property
    def layout(self) -> Layout:
        return self.site.layout

    @property
    def api_port(self) -> int:
        return self.site.api_port

    @property
    def word(self) -> str:
        """The app and its slots, as the look script takes them."""
        return f"{self.wanted.app}:{','.join(self.wanted.slots)}"

    def env_text(self, identity: Identity) -> str:
        return env_file(identity, self.variables, self.wanted.env_keys)

    def migrate_env_text(self, identity: Identity) -> str:
        """The same env, and the migration command beside the start command."""
        return env_file(identity, {**self.variables, "RECONCILE_MIGRATE": (self.app and self.app.migrate) or ""}, ())

    def unit_text(self) -> str:
        assert self.unit is not None
        return unit_text(self.unit)

    def route_text(self, slot: str) -> str:
        assert self.route is not None
        return route_text(self.route, slot)

    def masked(self, text: str) -> str:
        """The text without the values of secrets."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def removal(site: Site, app: str, waits_for: str = "", *, too_many: bool = False) -> Target:
    """The target of an app that shall not be on this host any more."""
    wanted = Wanted.removed(site.name, app, waits_for, too_many=too_many)
    return Target(wanted, None, site, None, None, Path(), {}, frozenset())


def resolve(
    app: App,
    site: Site,
    traefik: Traefik,
    folder: Path,
    artifact_digest: str | None,
    secret: Callable[[str], str],
) -> Target:
    """The target of one app on one host. `secret(name)` gives a value or raises what it has to say."""
    values = {key: secret(value.secret) if isinstance(value, SecretRef) else value for key, value in app.env.items()}
    secrets = frozenset(values[key] for key, value in app.env.items() if isinstance(value, SecretRef) and values[key])
    variables = {**values, "RECONCILE_START": app.start_command}
    keys = tuple((key, digest(value)) for key, value in sorted(variables.items()))
    unit = _unit_settings(app, site.spec)
    route = _route_settings(app, traefik)
    slots = tuple(str(port) for port in app.ports) or WORKER_SLOT
    wanted = Wanted(
        host=site.name,
        app=app.app,
        version=app.version,
        release=release_id(app.version, artifact_digest) if artifact_digest else None,
        env=digest(variables),
        unit=unit.digest,
        slots=slots,
        env_keys=keys,
        route=WantedRoute(route.domains, {slot: route.digest(slot) for slot in slots}) if route else None,
        health_path=app.health.path if app.health else None,
        healthy_within_seconds=app.health.healthy_within_seconds if app.health else 30,
        minimum_healthy_seconds=app.health.minimum_healthy_seconds if app.health else 2,
        drain_seconds=app.drain_seconds,
        migrates=bool(app.migrate),
        keep_releases=app.keep_releases,
        soak_seconds=app.soak_seconds,
        attempt=digest([app.migrate, app.migrate_within_seconds, app.health.model_dump() if app.health else None]),
        only_report_drift=app.drift == "warn",
    )
    return Target(wanted, app, site, unit, route, folder, variables, secrets)


def _unit_settings(app: App, spec: HostSpec) -> UnitSettings:
    return UnitSettings(
        app=app.app,
        layout=spec.paths.at_home("%h").model_dump(),
        sandbox=app.sandbox.model_dump(),
        stop_seconds=app.stop_seconds,
        memory_max=app.memory_max,
        distribution=app.distribution,
        has_port=bool(app.ports),
        scope=spec.scope,
    )


def _route_settings(app: App, traefik: Traefik) -> RouteSettings | None:
    if app.route is None:
        return None
    entry_point = traefik.https_entry_point if app.route.tls else traefik.http_entry_point
    return RouteSettings(app.app, app.route.domains, (entry_point,), app.route.tls, traefik.cert_resolver)
