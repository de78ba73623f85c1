"""Traefik's file provider: the dynamic file of an app. Pure. What its API says is read in `traefik_api`.

Facts this rests on, measured on 3.7: one unreadable file freezes the whole directory, so text is re-parsed and compared
before it is used; `{{` is run as a Go template, so it is refused; equal content bumps nothing, so a marker service
carries the digest, and `/api/rawdata` showing the marker means that requests go by this file from now on. A router with
`tls: {}` gets nothing of its entry point's certificate resolver, so the resolver is always named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.model.route import Route
from reconciler.tools.digests import digest
from reconciler.tools.rendering import package_text, render

# Nothing was sent when a connection is refused, so a POST is tried again as well as a GET: while an instance is started
# anew requests wait, for seven seconds or so, instead of failing. Measured with a gap of 1.3 s: 0 of 1,600 failed.
HOLD = {"attempts": 20, "initialInterval": "250ms"}
# By default the longer rule wins, and one with many domains is longer than one with a path.
PATH_PRIORITY = 10_000
# Also for grep -E. Names of printable ASCII but colon and comma; Traefik takes a line that begins with # for a comment.
_ROUTE_HEAD = re.compile(r"# reconcile route slot=([0-9a-z]{1,16}) digest=([0-9a-f]{1,64})")
_ROUTE_PART = re.compile(r"# part ([0-9a-f]{1,64}) ([ -~]{1,300})")
HTPASSWD_LINE = re.compile(r"""[!"$-+.-9;-~-][!-+.-9;-~-]*:\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}""")
HAND_UNIT = "traefik.service"  # what somebody set up by hand, deploy/traefik/install.sh among others
HAND_MARK = "deploy/traefik/install.sh"  # in the head of the unit that our own script installs
DEFAULT_FILE = "00-certificate.yml"  # which certificate is shown without one; the first file to say so counts
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
    route: Route
    entry_point: str
    cert_resolver: str | None
    users: tuple[str, ...] = ()  # htpasswd lines
    htpasswd: str = ""  # the file for them, which only Traefik reads; "" where nobody is root to give it to Traefik

    def digest(self, slot: str) -> str:
        return digest([package_text("templates/route.yml.j2"), self.content(slot, ""), list(self.users)])

    def marker(self, slot: str, route_digest: str) -> str:
        return marker(self.app, slot, route_digest)

    @property
    def certified(self) -> tuple[str, ...]:
        """The names for which a certificate is asked for."""
        route = self.route
        ends_tls = route.tcp.tls == "terminate" if route.tcp else route.tls
        if not ends_tls or not self.cert_resolver:
            return ()
        return route.tcp.domains if route.tcp else (*route.domains, *route.redirects)

    def content(self, slot: str, marker: str) -> dict[str, Any]:
        """The file as the values Traefik must read from it."""
        if self.route.tcp:
            target = {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{slot}"}]}}
            routers, middlewares, kind = self._tcp_routers(), self._tcp_middlewares(), "tcp"
        else:
            target = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{slot}"}]}}
            routers, middlewares, kind = self._routers(), self._middlewares() | self._redirections(), "http"
        content: dict[str, Any] = {"routers": routers}
        if middlewares:  # an empty block makes the whole file invalid
            content["middlewares"] = middlewares
        return {kind: content | {"services": {self.app: target, marker: target}}}

    def _routers(self) -> dict[str, Any]:
        route = self.route
        hosts = " || ".join(f"Host(`{domain}`)" for domain in route.domains)
        main = self._router(hosts, [f"{self.app}-{name}" for name, _ in self._steps_on_the_way()])
        if route.path:
            # PathPrefix alone would take /apiary for /api.
            main["rule"] = f"({hosts}) && (Path(`{route.path}`) || PathPrefix(`{route.path}/`))"
            main["priority"] = PATH_PRIORITY + len(route.path)
        if route.tls and self.cert_resolver and len(route.domains) > 1:
            # One certificate for all of them would not come while one of the names is not pointed here.
            main["tls"]["domains"] = [{"main": domain} for domain in route.domains]
        redirects = {
            redirect_name(self.app, source): self._router(f"Host(`{source}`)", [redirect_name(self.app, source)])
            for source in route.redirects
        }
        return {self.app: main, **redirects}

    def _router(self, rule: str, middlewares: list[str]) -> dict[str, Any]:
        router: dict[str, Any] = {"rule": rule, "entryPoints": [self.entry_point], "service": self.app}
        if middlewares:
            router["middlewares"] = middlewares
        return router | ({"tls": self._tls()} if self.route.tls else {})

    def _tls(self) -> dict[str, Any]:
        return {"certResolver": self.cert_resolver} if self.cert_resolver else {}

    def _steps_on_the_way(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens to a request, in this order."""
        route = self.route
        if route.allow_ips:
            yield "allow", {"ipAllowList": {"sourceRange": list(route.allow_ips)}}
        if self.users:
            # Traefik's API shows to everybody on the host what stands in the route itself.
            who = {"usersFile": self.htpasswd} if self.htpasswd else {"users": list(self.users)}
            yield "auth", {"basicAuth": {"realm": self.app, **who}}
        named = {"customRequestHeaders": route.headers.request, "customResponseHeaders": route.headers.response}
        if headers := {key: dict(values) for key, values in named.items() if values}:
            yield "headers", {"headers": headers}
        if route.compress:
            yield "compress", {"compress": {}}
        if route.path and route.strip_path:
            yield "strip", {"stripPrefix": {"prefixes": [route.path]}}
        yield "hold", {"retry": HOLD}

    def _middlewares(self) -> dict[str, Any]:
        return {f"{self.app}-{name}": middleware for name, middleware in self._steps_on_the_way()}

    def _redirections(self) -> dict[str, Any]:
        # The scheme stays: behind another TLS terminator every request comes as http.
        return {
            redirect_name(self.app, source): {
                "redirectRegex": {
                    "regex": "^(https?)://[^/]+/(.*)",
                    "replacement": f"${{1}}://{goal}/${{2}}",
                    "permanent": True,
                }
            }
            for source, goal in self.route.redirects.items()
        }

    def _tcp_routers(self) -> dict[str, Any]:
        tcp = self.route.tcp
        assert tcp is not None
        router: dict[str, Any] = {
            "rule": " || ".join(f"HostSNI(`{name}`)" for name in tcp.domains or ("*",)),
            "entryPoints": [self.entry_point],
            "service": self.app,
        }
        if self.route.allow_ips:
            router["middlewares"] = [f"{self.app}-allow"]
        if tcp.tls != "none":
            router["tls"] = {"passthrough": True} if tcp.tls == "passthrough" else self._tls()
        return {self.app: router}

    def _tcp_middlewares(self) -> dict[str, Any]:
        ranges = list(self.route.allow_ips)
        return {f"{self.app}-allow": {"ipAllowList": {"sourceRange": ranges}}} if ranges else {}

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """(what the file says, digest of how), for people: two files differ in what differs here."""
        route = self.route
        names = route.tcp.domains if route.tcp else route.domains
        said: dict[str, Any] = {f"domain {name}": "" for name in names}
        said |= {f"redirect {source}": goal for source, goal in route.redirects.items()}
        said |= {f"request header {name}": value for name, value in route.headers.request.items()}
        said |= {f"response header {name}": value for name, value in route.headers.response.items()}
        said |= {f"allowed range {each}": "" for each in route.allow_ips}
        tls = route.tcp.tls if route.tcp else "terminate" if route.tls else "none"
        said |= {"entry point": self.entry_point, "tls": [tls, self.cert_resolver if tls == "terminate" else None]}
        said |= {"path": [route.path, route.strip_path]} if route.path else {}
        said |= {"basic_auth": self.users} if self.users else {}
        said |= {"compress": ""} if route.compress else {}
        said |= {"tcp": ""} if route.tcp else {}
        return tuple((name, digest(value)) for name, value in sorted(said.items()))


def marker(app: str, slot: str, route_digest: str) -> str:
    """The service that shows that this very file was applied."""
    return f"{app}-route-{slot}-{route_digest}"


def redirect_name(app: str, source: str) -> str:
    """Router and middleware of one redirect. No app's name holds a dot, so no other app makes the same name."""
    return f"{app}-redirect.{source}"


def route_text(settings: RouteSettings, slot: str, attempt: str = "") -> str:
    """The dynamic file that sends the app's visitors to one slot. Raises ValueError when it would not read back.

    Behind its last line follow the htpasswd lines for the file that it names; the host parts the two.
    Another `attempt` is the same route in a file that Traefik takes for a changed one.
    """
    import yaml

    route_digest = settings.digest(slot)
    marker = settings.marker(slot, route_digest) + (f"-{attempt}" if attempt else "")
    content = settings.content(slot, marker)
    (kind,) = content
    text = render(
        "templates/route.yml.j2",
        app=settings.app,
        slot=slot,
        digest=route_digest,
        parts=settings.parts,
        kind=kind,
        marker=marker,
        **{"middlewares": {}, **content[kind]},
    )
    if "{{" in text or yaml.safe_load(text) != content:
        raise ValueError(f"the route of {settings.app} would not read back as it is meant")
    return text + htpasswd_text(settings.users) if settings.htpasswd and settings.users else text


def htpasswd_path(folder: str, app: str) -> str:
    """Where the names and hashes of an app lie: beside its route, where Traefik may read, and not read as a route."""
    return f"{folder}/{app}.htpasswd"


def htpasswd_text(users: tuple[str, ...]) -> str:
    """The file of names and hashes; its last line says, as that of a route, that nothing is missing."""
    return "".join(f"{line}\n" for line in (*users, "# end"))


def read_route_head(lines: list[str]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """(slot, digest, parts) of the head of a route file; all empty when it is not one of ours."""
    head = _ROUTE_HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        return "", "", ()
    parts = [found for line in lines[1:] if (found := _ROUTE_PART.fullmatch(line))]
    return head[1], head[2], tuple((found[2], found[1]) for found in parts)


def read_htpasswd(text: str) -> tuple[str, ...]:
    """The lines of `htpasswd -nB`. Raises ValueError with what is wrong, without a word of the text."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError("is empty")
    for number, line in lines:
        if not HTPASSWD_LINE.fullmatch(line):
            raise ValueError(f"has something else than name:bcrypt-hash in line {number}")
    names = [line.partition(":")[0] for _, line in lines]
    if len(set(names)) < len(names):
        raise ValueError("names a user twice")
    return tuple(line for _, line in lines)
