"""Traefik's API: which routes it holds, its entry points, its certificates. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from reconciler.model.observed import AppliedRoute, Certificate
from reconciler.tools.traefik import redirect_name

RAWDATA = "/api/rawdata"
ENTRY_POINTS = "/api/entrypoints"
CERTIFICATES = "/api/certificates"  # since 3.7


def read_applied(app: str, rawdata: dict[str, Any]) -> AppliedRoute | None:
    """What Traefik holds for the app, from `RAWDATA`; None when it holds neither router nor marker."""
    routers = {**rawdata.get("tcpRouters", {}), **rawdata.get("routers", {})}
    ours = {name: router for name, router in routers.items() if _is_of(app, name)}
    # And not the marker of an app <app>-route.
    marker = re.compile(rf"{re.escape(app)}-route-([^-]+)-([0-9a-f]{{12}})(?:-[0-9]+)?@file")
    services = [*rawdata.get("services", {}), *rawdata.get("tcpServices", {})]
    markers = [found for name in services if (found := marker.fullmatch(name))]
    if not ours and not markers:
        return None
    slot, route_digest = markers[0].groups() if markers else ("", "")
    if f"{app}@file" not in ours:
        return AppliedRoute(slot, route_digest, "the router is not there")
    middlewares = {**rawdata.get("tcpMiddlewares", {}), **rawdata.get("middlewares", {})}
    passed = [name for router in ours.values() for name in router.get("middlewares", [])]
    on_the_way = [middlewares.get(name if "@" in name else f"{name}@file", {"status": "enabled"}) for name in passed]
    return AppliedRoute(slot, route_digest, "; ".join(_problems([*ours.values(), *on_the_way])))


def _is_of(app: str, name: str) -> bool:
    return name == f"{app}@file" or (name.startswith(redirect_name(app, "")) and name.endswith("@file"))


def _problems(parts: list[dict[str, Any]]) -> list[str]:
    """Why routers or middlewares are not enabled, each reason once."""
    found: list[str] = []
    for part in parts:
        if part.get("status") != "enabled":
            found += part.get("error") or ["the router is disabled"]
    return list(dict.fromkeys(found))


def read_entry_points(answer: object) -> tuple[str, ...] | None:
    """The names, from `ENTRY_POINTS`; None when it is something else."""
    if not isinstance(answer, list):
        return None
    return tuple(sorted(str(each["name"]) for each in answer if isinstance(each, dict) and "name" in each))


def read_certificates(answer: object) -> tuple[Certificate, ...] | None:
    """All that it holds, its default one included, from `CERTIFICATES`; None when it is something else."""
    if not isinstance(answer, list):
        return None
    try:
        return tuple(sorted((_certificate(each) for each in answer), key=lambda each: each.names))
    except (KeyError, TypeError, ValueError):
        return None


def _certificate(entry: dict[str, Any]) -> Certificate:
    ends = datetime.fromisoformat(entry["notAfter"])
    return Certificate(tuple(sorted(entry.get("sans") or [])), int(ends.timestamp()))
