"""The managed Traefik of fleet.yaml as an app, so that it is installed, proven, upgraded and removed like one.

It runs on every host where an app has a route: on its edges, or without any on its own hosts. It has two slots, whose
ports are those of its API. It has no route itself:
the slot that is enabled for boot is the live one. Pure.
"""

from __future__ import annotations

from reconciler.model.desired import App, Desired, HealthCheck, Rollout, Sandbox, routing_hosts
from reconciler.model.observed import TRAEFIK
from reconciler.targets.processes import with_processes
from reconciler.tools.traefik_static import PING, START, STOP_SECONDS, etcd_settings, static_settings

KEEP_RELEASES = 2  # a release takes 200 MB


def all_apps(desired: Desired) -> tuple[App, ...]:
    """The apps of the desired state, each followed by its processes; the managed Traefik is first if there is one."""
    traefik = traefik_app(desired)
    apps = tuple(each for app in desired.apps for each in with_processes(app))
    return (traefik, *apps) if traefik else apps


def traefik_app(desired: Desired) -> App | None:
    """The managed Traefik as an app, on every host where an app has a route. None if Traefik is not managed."""
    traefik = desired.fleet.traefik
    hosts = tuple(sorted({host for app in desired.apps for host in routing_hosts(app)}))
    if traefik.version is None or not hosts:
        return None
    # Built without validation: the name is refused for apps that people write.
    return App.model_construct(
        app=TRAEFIK,
        version=traefik.version,
        artifact=traefik.archive,
        hosts=hosts,
        ports=traefik.api_ports,
        start=START,
        env={
            **(traefik.acme.env if traefik.acme else {}),
            **static_settings(traefik),
            **(etcd_settings(traefik.etcd) if traefik.etcd else {}),
        },
        health=HealthCheck(path=PING, healthy_within_seconds=30, minimum_healthy_seconds=1),
        stop_seconds=STOP_SECONDS,
        keep_releases=KEEP_RELEASES,
        rollout=Rollout(),
        sandbox=Sandbox(
            capabilities=("CAP_NET_BIND_SERVICE",),
            extra_ports=traefik.own_ports,
        ),
    )
