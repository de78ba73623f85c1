"""The environment that a Phoenix release needs: the variables that a generated `runtime.exs` reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from reconciler.model.desired import App

SHORTEST_KEY_BYTES = 64  # Plug refuses to sign cookies with fewer
_PHOENIX = re.compile(r"lib/phoenix-\d[^/]*")


def warnings(app: App, paths: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return warnings about settings that will not work in production, if the release with these paths has Phoenix.

    `values` has the variables whose values are known by now; those of secrets may be missing.
    """
    if not any(_PHOENIX.fullmatch(path) for path in paths):
        return ()
    return tuple(filter(None, (_key(app, values), _server(app), _host(app, values))))


def _key(app: App, values: Mapping[str, str]) -> str:
    key = values.get("SECRET_KEY_BASE")
    if "SECRET_KEY_BASE" not in app.env:
        return (
            "SECRET_KEY_BASE is not set, and Phoenix does not start without it; "
            "store the output of `mix phx.gen.secret` as a secret: env: {SECRET_KEY_BASE: {secret: NAME}}"
        )
    size = len(key.encode()) if key is not None else SHORTEST_KEY_BYTES
    if size < SHORTEST_KEY_BYTES:
        least = SHORTEST_KEY_BYTES
        return f"SECRET_KEY_BASE has {size} bytes, Phoenix needs {least}; generate another: mix phx.gen.secret"
    return ""


def _server(app: App) -> str:
    if "PHX_SERVER" in app.env or not app.ports or "bin/server" in app.start_command:
        return ""
    return 'PHX_SERVER is not set, so Phoenix will not listen; write start: bin/server, or env: {PHX_SERVER: "true"}'


def _host(app: App, values: Mapping[str, str]) -> str:
    if app.route is None:
        return ""
    if "PHX_HOST" not in app.env:
        return (
            "PHX_HOST is not set: links will point to example.com, and Phoenix will refuse LiveView's websockets; "
            f"write env: {{PHX_HOST: {app.route.visited_domain}}}"
        )
    host = values.get("PHX_HOST")
    if host is None or host.lower() in app.route.domains:
        return ""
    return (
        f"PHX_HOST is not among the route's domains ({', '.join(app.route.domains)}): check_origin refuses websockets"
    )
