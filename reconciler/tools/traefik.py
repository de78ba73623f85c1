"""Traefik's file provider: the dynamic file of an app, and what the API says of it. Pure.

Facts this rests on, measured on 3.7: one unreadable file freezes the whole directory, so text is re-parsed and compared
before it is used; `{{` is run as a Go template, so it is refused; equal content bumps nothing, so a marker service
carries the digest, and `/api/rawdata` showing the marker means that requests go by this file from now on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from reconciler.model.observed import AppliedRoute
from reconciler.tools.digests import digest
from reconciler.tools.rendering import package_text, render

API_PATH = "/api/rawdata"
HAND_UNIT = "traefik.service"  # what somebody set up by hand, deploy/traefik/install.sh among others
HAND_MARK = "deploy/traefik/install.sh"  # in the head of the unit that our own script installs
DEFAULT_FILE = (
    "00-certificate.yml"  # which certificate is shown for a name without one; the first file to say so counts
)
_NOT_ROUTES = (DEFAULT_FILE, "00-default-certificate.yml")


def default_text() -> str:
    """The file that names the default certificate."""
    return package_text("templates/traefik-default.yml")


def route_files(names: list[str]) -> tuple[str, ...]:
    """Those of the watched files from which somebody is served."""
    return tuple(sorted(name for name in names if name not in _NOT_ROUTES))


@dataclass(frozen=True)
class RouteSettings:
    """All that a route file says, but the slot."""

    app: str
    domains: tuple[str, ...]
    entry_points: tuple[str, ...]
    tls: bool
    cert_resolver: str | None

    def digest(self, slot: str) -> str:
        return digest([package_text("templates/route.yml.j2"), self.content(slot, "")])

    def marker(self, slot: str, route_digest: str) -> str:
        return marker(self.app, slot, route_digest)

    def content(self, slot: str, marker: str) -> dict[str, Any]:
        """The file as the values Traefik must read from it."""
        server = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{slot}"}]}}
        router: dict[str, Any] = {
            "rule": " || ".join(f"Host(`{domain}`)" for domain in self.domains),
            "entryPoints": list(self.entry_points),
            "service": self.app,
        }
        if self.tls:
            router["tls"] = {"certResolver": self.cert_resolver} if self.cert_resolver else {}
        return {"http": {"routers": {self.app: router}, "services": {self.app: server, marker: server}}}


def route_text(settings: RouteSettings, slot: str) -> str:
    """The dynamic file that sends the app's visitors to one slot. Raises ValueError when it would not read back."""
    import yaml

    route_digest = settings.digest(slot)
    marker = settings.marker(slot, route_digest)
    content = settings.content(slot, marker)
    router = content["http"]["routers"][settings.app]
    text = render(
        "templates/route.yml.j2",
        app=settings.app,
        slot=slot,
        digest=route_digest,
        rule=router["rule"],
        entry_points=router["entryPoints"],
        tls=router.get("tls"),
        url=f"http://127.0.0.1:{slot}",
        marker=marker,
    )
    if "{{" in text or yaml.safe_load(text) != content:
        raise ValueError(f"the route of {settings.app} would not read back as it is meant")
    return text


def read_route_head(head: str) -> tuple[str, str]:
    """(slot, digest) of the first line of a route file; ("", "") when it is not one of ours."""
    words = dict(word.partition("=")[::2] for word in head.removeprefix("# reconcile route ").split())
    return (words.get("slot", ""), words.get("digest", "")) if head.startswith("# reconcile route ") else ("", "")


def read_applied(app: str, rawdata: dict[str, Any]) -> AppliedRoute | None:
    """What Traefik holds for the app, from `/api/rawdata`; None when it holds neither router nor marker."""
    router = rawdata.get("routers", {}).get(f"{app}@file")
    marker = re.compile(rf"{re.escape(app)}-route-([^-]+)-([0-9a-f]{{12}})@file")  # and not that of an app <app>-route
    markers = [found for name in rawdata.get("services", {}) if (found := marker.fullmatch(name))]
    if router is None and not markers:
        return None
    slot, route_digest = markers[0].groups() if markers else ("", "")
    if router is None:
        return AppliedRoute(slot, route_digest, "the router is not there")
    problem = (
        "" if router.get("status") == "enabled" else "; ".join(router.get("error", [])) or "the router is disabled"
    )
    return AppliedRoute(slot, route_digest, problem)


def applied_by_all(app: str, answers: list[dict[str, Any]], route_digest: str) -> AppliedRoute | None:
    """What all instances hold for the app; where they differ, one of those that do not hold just this route."""
    held = [read_applied(app, rawdata) for rawdata in answers]
    behind = [each for each in held if not holds(each, route_digest)]
    return (behind or held or [None])[0]


def holds(applied: AppliedRoute | None, route_digest: str) -> bool:
    """It serves by the route of this digest; without a digest: by none."""
    return applied.digest == route_digest and not applied.problem if applied else not route_digest


def marker(app: str, slot: str, route_digest: str) -> str:
    """The service that shows that this very file was applied."""
    return f"{app}-route-{slot}-{route_digest}"


def missing_routes(markers: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> str:
    """What an instance does not serve although its files (by their markers) or another instance say so, in a few words.

    "" when nothing is missing.
    """
    served = dict.fromkeys((f"{name}@file" for name in markers), "enabled") | _from_files(before)
    held = _from_files(after)
    missing = sorted(name for name, state in served.items() if state == "enabled" and held.get(name) != "enabled")
    if not missing:
        return ""
    name = missing[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{name.removesuffix('@file')} {held.get(name, 'is not there')}{more}"


def _from_files(rawdata: dict[str, Any]) -> dict[str, str]:
    """Router or marker from the watched folder → `enabled`, or what is wrong with it."""
    routers = {name: each for name, each in rawdata.get("routers", {}).items() if name.endswith("@file")}
    states = {
        name: "enabled" if each.get("status") == "enabled" else ": ".join(["is disabled", *each.get("error", [])])
        for name, each in routers.items()
    }
    markers = [name for name in rawdata.get("services", {}) if re.fullmatch(r".+-route-[^-]+-[0-9a-f]{12}@file", name)]
    return states | dict.fromkeys(markers, "enabled")
