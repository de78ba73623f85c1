"""Reads Traefik's API: the routes it holds, its entry points, its certificates. Pure.

Another program may answer in its place. So an answer must have the shape of Traefik's, and only the keys in use are
read. Error texts may quote routes from anyone's files, so they are shortened and made printable.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from reconciler.model.observed import EDGE, AppliedRoute, Certificate
from reconciler.tools.digests import digest
from reconciler.tools.traefik_rules import is_router_of
from reconciler.words import printable

RAWDATA = "/api/rawdata"
ENTRY_POINTS = "/api/entrypoints"
CERTIFICATES = "/api/certificates"  # since 3.7
_ROUTERS_AND_MIDDLEWARES: Final = ("routers", "tcpRouters", "middlewares", "tcpMiddlewares")
_SERVICES: Final = ("services", "tcpServices")
ETCD: Final = "etcd"  # the provider's name
_TRAEFIKS_OWN: Final = ("status", "error", "using", "priority")  # a fallback differs in its priority


_SERVER = re.compile(r"(?:http|h2c)://((?:[0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5})")


class NotTraefiks(ValueError):
    """The answer does not have the shape of Traefik's."""


def read_rawdata(body: bytes) -> dict[str, Any]:
    """Read the answer to `RAWDATA`: the keys that are used here. Raises NotTraefiks."""
    answer = _json(body)
    if not isinstance(answer, dict):
        raise NotTraefiks
    kinds = {kind: answer.get(kind) or {} for kind in (*_ROUTERS_AND_MIDDLEWARES, *_SERVICES)}
    if not all(isinstance(parts, dict) for parts in kinds.values()):
        raise NotTraefiks
    shared = any(name.endswith(f"@{ETCD}") for parts in kinds.values() for name in parts)
    return {
        kind: {
            name: _service(part) if kind in _SERVICES else _part(part) | ({"sum": _sum(part)} if shared else {})
            for name, part in parts.items()
        }
        for kind, parts in kinds.items()
    }


def _service(value: object) -> dict[str, bool]:
    """The servers of a service, by address and port: False for one that fails Traefik's own health check.

    Anything else about a service is left out: only the list of an edge matters, and that is ours.
    """
    balancer = value.get("loadBalancer") if isinstance(value, dict) else None
    servers = balancer.get("servers") if isinstance(balancer, dict) else None
    states = value.get("serverStatus") if isinstance(value, dict) else None
    urls = [each.get("url") for each in servers if isinstance(each, dict)] if isinstance(servers, list) else []
    found = {url: _SERVER.fullmatch(url) for url in urls if isinstance(url, str)}
    down = {url for url, state in states.items() if state == "DOWN"} if isinstance(states, dict) else set()
    return {server[1]: url not in down for url, server in found.items() if server}


def _sum(part: dict[str, Any]) -> str:
    """The digest of what was written of a router or middleware, the same for a file and for etcd."""
    written = {key: value for key, value in part.items() if key not in _TRAEFIKS_OWN}
    return digest(json.dumps(written, sort_keys=True).replace(f"@{ETCD}", "@file"))


def _unlike_its_file(app: str, rawdata: dict[str, Any], names: list[str]) -> str | None:
    """Why the route from etcd is not the one in the edge's own file; None if they are the same."""
    for kind in ("routers", "middlewares"):
        parts = rawdata.get(kind, {})
        for name in sorted({name.rpartition("@")[0] for name in names}):
            here, there = (parts.get(f"{name}@{provider}", {}).get("sum") for provider in ("file", ETCD))
            if here != there:
                return f"{printable(name)} in etcd differs from what was written"
    services = rawdata.get("services", {})
    if services.get(f"{app}@file", {}).keys() != services.get(f"{app}@{ETCD}", {}).keys():
        return "the servers in etcd differ from those that were written"
    return None


def _part(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotTraefiks
    return {
        "status": value.get("status"),
        "error": [printable(each) for each in _texts(value.get("error"))],
        "middlewares": _texts(value.get("middlewares")),
    }


def _texts(value: object) -> list[str]:
    found = value or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise NotTraefiks
    return found


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or nested deeper than Traefik's answers are
        raise NotTraefiks from None


def read_applied(app: str, rawdata: dict[str, Any]) -> AppliedRoute | None:
    """Return what Traefik holds for the app, from `RAWDATA`; None if it has neither a router nor a marker of it."""
    routers = {**rawdata.get("tcpRouters", {}), **rawdata.get("routers", {})}
    ours = {name: router for name, router in routers.items() if is_router_of(app, name)}
    # The form excludes the markers of an app called <app>-route.
    marker = re.compile(rf"{re.escape(app)}-route-([^-]+)-([0-9a-f]{{12}})(?:-([0-9]{{1,15}}))?@(file|etcd)")
    services = [*rawdata.get("services", {}), *rawdata.get("tcpServices", {})]
    markers = sorted((found for name in services if (found := marker.fullmatch(name))), key=_after_files)
    if all(name.endswith(f"@{ETCD}") for name in ours):
        # An edge has a file of the app as well. Where there is none, the route in etcd is for other hosts.
        ours, markers = {}, [found for found in markers if found[4] != ETCD]
    if not ours and not markers:
        return None
    slot, route_digest, number, provider = markers[0].groups() if markers else ("", "", "", "file")
    attempt = int(number or 0)
    if f"{app}@{provider}" not in ours:
        return AppliedRoute(slot, route_digest, "the router is missing", attempt)
    middlewares = {**rawdata.get("tcpMiddlewares", {}), **rawdata.get("middlewares", {})}
    named = {
        name if "@" in name else f"{name}@{provider}"
        for router_name, router in ours.items()
        if router_name.endswith(f"@{provider}")
        for name in router.get("middlewares", [])
    }
    used = [middlewares.get(name, {"status": "enabled"}) for name in sorted(named)]
    problem = "; ".join(_problems([*ours.values(), *used])) or None
    if provider == ETCD and not problem:
        problem = _unlike_its_file(app, rawdata, [*ours, *named])
    if slot != EDGE:
        return AppliedRoute(slot, route_digest, problem, attempt)
    states = rawdata.get("services", {}).get(f"{app}@{provider}", {})
    down = tuple(sorted(server for server, up in states.items() if not up))
    return AppliedRoute(slot, route_digest, problem, attempt, tuple(sorted(states)), down)


def _after_files(marker: re.Match[str]) -> bool:
    """A key that sorts what etcd has last: where a file has a marker too, the route lies in files."""
    return marker[4] == ETCD


def _problems(parts: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why routers or middlewares are not enabled, each one once."""
    found: list[str] = []
    for part in parts:
        if part.get("status") != "enabled":
            found += part.get("error") or ["the router is disabled"]
    return list(dict.fromkeys(found))


def read_entry_points(body: bytes) -> tuple[str, ...]:
    """Read the names of the entry points from the answer to `ENTRY_POINTS`. Raises NotTraefiks."""
    names = [_text_of(each, "name") for each in _objects(body)]
    return tuple(sorted(printable(name) for name in names))


def read_certificates(body: bytes) -> tuple[Certificate, ...]:
    """Read all certificates, the default one included, from the answer to `CERTIFICATES`. Raises NotTraefiks."""
    return tuple(sorted((_certificate(each) for each in _objects(body)), key=lambda each: each.names))


def _objects(body: bytes) -> list[dict[str, Any]]:
    answer = _json(body)
    if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
        raise NotTraefiks
    return answer


def _text_of(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise NotTraefiks
    return value


def _certificate(entry: dict[str, Any]) -> Certificate:
    try:
        ends = int(datetime.fromisoformat(_text_of(entry, "notAfter")).timestamp())
    except (ValueError, OverflowError):  # not a time, or one out of range
        raise NotTraefiks from None
    return Certificate(tuple(sorted(_texts(entry.get("sans")))), ends)


def route_held_by_all(
    app: str, answers: list[dict[str, Any]], route_digest: str, attempt: int = 0
) -> AppliedRoute | None:
    """Return what all Traefik instances hold for the app; if they differ, what one without this route holds."""
    held = [read_applied(app, rawdata) for rawdata in answers]
    behind = [applied for applied in held if not is_served(applied, route_digest, attempt)]
    return (behind or held or [None])[0]


def is_served(applied: AppliedRoute | None, route_digest: str, attempt: int = 0) -> bool:
    """True if the app is served through this very route file or, without a digest, through no route."""
    if applied is None:
        return not route_digest
    return (applied.digest, applied.attempt) == (route_digest, attempt) and not applied.problem


def missing_routes(markers: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> str:
    """Name a route that an instance lacks although its files (by their markers) or another instance have it.

    "" if none is missing. `before` is the raw data of the other instance, `after` that of the one in question.
    """
    served = dict.fromkeys(markers, "enabled") | _from_files(before)
    held = _from_files(after)
    missing = sorted(name for name, state in served.items() if state == "enabled" and held.get(name) != "enabled")
    if not missing:
        return ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{printable(missing[0])} {held.get(missing[0], 'is missing')}{more}"


def _from_files(rawdata: dict[str, Any]) -> dict[str, str]:
    """Return router or marker from the watched folder → `enabled`, or the problem with it."""
    routers = {**rawdata.get("tcpRouters", {}), **rawdata.get("routers", {})}
    states = {
        name.removesuffix("@file"): "enabled"
        if each.get("status") == "enabled"
        else ": ".join(["is disabled", *each.get("error", [])])
        for name, each in routers.items()
        if name.endswith(("@file", f"@{ETCD}"))
    }
    services = [*rawdata.get("services", {}), *rawdata.get("tcpServices", {})]
    # A route that was written again, unchanged, carries a number after its digest.
    markers = [
        found[1]
        for name in services
        if (found := re.fullmatch(r"(.+-route-[^-]+-[0-9a-f]{12})(?:-[0-9]+)?@(?:file|etcd)", name))
    ]
    return states | dict.fromkeys(markers, "enabled")
