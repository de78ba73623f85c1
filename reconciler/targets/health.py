"""The health check of an app as it is asked: its path, and the headers that a visitor's request would have. Pure."""

from __future__ import annotations

from reconciler.model.desired import App
from reconciler.model.route import Route
from reconciler.model.traefik import Traefik

LOOPBACK = "127.0.0.1"


def health_path(app: App) -> str | None:
    """The path to ask over HTTP/1.1, or None if an open port is enough.

    An app that does not speak HTTP/1.1 to Traefik is asked only if a path is written.
    """
    health = app.health
    route = app.route
    if health is None or health.tcp:
        return None
    if route and (route.tcp or route.protocol == "h2c") and "path" not in health.model_fields_set:
        return None
    return health.path


def health_headers(app: App, traefik: Traefik) -> tuple[tuple[str, str], ...]:
    """The headers of the request: those that Traefik sends for a visitor of the first domain, then the app's own."""
    health, route = app.health, app.route
    if health is None:
        return ()
    headers = _of_a_visitor(route, health.host, traefik) if route and not route.tcp else {}
    if health.host:
        headers["Host"] = health.host
    names = {name.lower(): name for name in headers}
    for name, value in {**(route.headers.request if route else {}), **health.headers}.items():
        headers.pop(names.get(name.lower(), name), None)
        names[name.lower()] = name
        headers[name] = value
    return tuple((name, value) for name, value in headers.items() if value)


def _of_a_visitor(route: Route, host: str | None, traefik: Traefik) -> dict[str, str]:
    host = host or route.visited_domain
    port = traefik.https_port if route.tls else traefik.http_port
    headers = {
        "Host": host,
        "X-Forwarded-For": LOOPBACK,
        "X-Forwarded-Host": host,
        "X-Forwarded-Port": str(port),
        "X-Forwarded-Proto": "https" if route.tls else "http",
        "X-Real-Ip": LOOPBACK,
    }
    return headers | ({"X-Forwarded-Prefix": route.path} if route.path and route.strip_path else {})
