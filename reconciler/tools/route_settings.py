"""What Traefik is to do for the visitors of an app: routers, middlewares and services as values. Pure.

`traefik` writes them as the text of a file, and `traefik_keys` as keys of etcd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.model.route import Route
from reconciler.tools.certificates import KeyPair
from reconciler.tools.digests import digest
from reconciler.tools.holding import hold_address
from reconciler.tools.rendering import package_text
from reconciler.tools.traefik_keys import fallback_of
from reconciler.tools.traefik_rules import rules

# When a connection is refused, nothing was sent, so even a POST may be retried. While an instance restarts, requests
# then wait for about seven seconds instead of failing. Measured with a gap of 1.3 s: 0 of 1,600 failed.
HOLD = {"attempts": 20, "initialInterval": "250ms"}
# In the order of preference. By default Traefik answers a browser that takes all three with gzip.
ENCODINGS = ["zstd", "br", "gzip"]
CHECK_INTERVAL, CHECK_TIMEOUT = "1s", "2s"


@dataclass(frozen=True)
class Balancer:
    """How an edge spreads visitors over the hosts of an app, and how its Traefik finds out which of them is gone."""

    places: tuple[tuple[str, str], ...]  # (host, private address)
    check_path: str
    check_headers: tuple[tuple[str, str], ...]
    sticky: bool = False
    in_etcd: bool = False  # the route lies in etcd, and the file serves only a Traefik that cannot read it there

    def addresses(self, servers: tuple[tuple[str, str], ...]) -> list[str]:
        """The address and port of each of these slots. A host that is not among `places` is left out."""
        places = dict(self.places)
        return [f"{places[host]}:{slot}" for host, slot in servers if host in places]

    def settings(self, app: str, *, secure: bool) -> dict[str, Any]:
        """The settings of Traefik's load balancer beside its servers."""
        headers = {name: value for name, value in self.check_headers if name.lower() != "host"}
        name = next((value for name, value in self.check_headers if name.lower() == "host"), "")
        check: dict[str, Any] = {"path": self.check_path, "interval": CHECK_INTERVAL, "timeout": CHECK_TIMEOUT}
        check |= {"followRedirects": False, **({"hostname": name} if name else {})}
        check |= {"headers": headers} if headers else {}
        cookie = {"name": f"{app}_edge", "httpOnly": True, "secure": secure, "sameSite": "lax"}
        return {"healthCheck": check, **({"sticky": {"cookie": cookie}} if self.sticky else {})}


@dataclass(frozen=True)
class RouteSettings:
    """Everything that goes into a route file, except the slot."""

    app: str
    route: Route
    entry_point: str
    cert_resolver: str | None
    users: tuple[str, ...] = ()  # htpasswd lines
    trusted_proxies: tuple[str, ...] = ()
    htpasswd: str = ""  # the file for them, which only Traefik may read; "" without root, who could give it to Traefik
    balancer: Balancer | None = None  # on an edge
    certificate: KeyPair | None = None  # one of the app's own, which lies in the file `certificate_file`
    certificate_file: str = ""

    def digest(self, slot: str, *, held: bool = False) -> str:
        content = self.content(slot, "", held=held)
        return digest([package_text("templates/route.yml.j2"), content, list(self.users), *self._own_pem])

    @property
    def _own_pem(self) -> list[str]:
        return [self.certificate.pem] if self.certificate else []

    def marker(self, slot: str, route_digest: str) -> str:
        return marker(self.app, slot, route_digest)

    @property
    def certified(self) -> tuple[str, ...]:
        """The names for which Traefik has to have a certificate."""
        route = self.route
        ends_tls = route.tcp.tls == "terminate" if route.tcp else route.tls
        if not ends_tls or not (self.cert_resolver or self.certificate):
            return ()
        return route.tcp.domains if route.tcp else (*route.domains, *route.redirects)

    @property
    def guarded(self) -> tuple[str, ...]:
        """The keys of the route that keep some visitors out."""
        keys = {"basic_auth": self.route.basic_auth, "allow_ips": self.route.allow_ips}
        return tuple(key for key, value in keys.items() if value)

    def content(self, slot: str, marker: str, *, held: bool = False) -> dict[str, Any]:
        """Return the content of the file, as the values that Traefik must read from it. `held`: visitors wait."""
        address = hold_address(slot) if held else f"127.0.0.1:{slot}"
        if self.route.tcp:
            target = {"loadBalancer": {"servers": [{"address": address}]}}
            return _content("tcp", self._tcp_routers(), self._tcp_middlewares(), {self.app: target, marker: target})
        target = {"loadBalancer": {"servers": [{"url": f"{self.route.protocol}://{address}"}]}}
        return self._http_content({self.app: target, marker: target})

    @property
    def edge_digest(self) -> str:
        """The digest of everything in the file of an edge but the list of its servers and the marker."""
        assert self.balancer is not None
        content = self.edge_content((), "marker")
        content = fallback_of(content) if self.balancer.in_etcd else content
        return digest(
            [package_text("templates/route.yml.j2"), content, self.balancer.places, list(self.users), *self._own_pem]
        )

    def edge_content(self, servers: tuple[tuple[str, str], ...], marker: str) -> dict[str, Any]:
        """Return the content of the file of an edge that sends visitors to these slots, as `content` does."""
        assert self.balancer is not None
        addresses = [{"url": f"{self.route.protocol}://{each}"} for each in self.balancer.addresses(servers)]
        settings = self.balancer.settings(self.app, secure=bool(self.route.tls))
        # The marker is asked for, never visited: a second check of the same servers would be for nothing.
        shown = {"loadBalancer": {"servers": addresses[:1]}}
        return self._http_content({self.app: {"loadBalancer": {"servers": addresses, **settings}}, marker: shown})

    def _http_content(self, services: dict[str, Any]) -> dict[str, Any]:
        content = _content("http", self._routers(), self._middlewares() | self._redirections(), services)
        if self.certificate is None:
            return content
        file = self.certificate_file
        return content | {"tls": {"certificates": [{"certFile": file, "keyFile": file}]}}

    def _routers(self) -> dict[str, Any]:
        route = self.route
        routers = {}
        for rule in rules(route.domains, route.path, self.judged_proxies):
            steps = [f"{self.app}-{name}" for name, _ in self._steps_on_the_way(proxied=rule.proxied)]
            router = self._router(rule.text, steps)
            if rule.priority:
                router["priority"] = rule.priority
            if route.tls and self._tls() and (len(route.domains) > 1 or rule.domains[0].startswith("*.")):
                # A single certificate for all of them would fail as long as one name does not point to this host.
                router["tls"]["domains"] = [{"main": domain} for domain in rule.domains]
            routers[f"{self.app}{rule.suffix}"] = router
        redirects = {
            redirect_name(self.app, source): self._router(f"Host(`{source}`)", [redirect_name(self.app, source)])
            for source in route.redirects
        }
        return routers | redirects

    @property
    def judged_proxies(self) -> tuple[str, ...]:
        """The trusted proxies, if `allow_ips` must judge their visitors by X-Forwarded-For."""
        return self.trusted_proxies if self.route.allow_ips and not self.route.tcp else ()

    def _router(self, rule: str, middlewares: list[str]) -> dict[str, Any]:
        router: dict[str, Any] = {"rule": rule, "entryPoints": [self.entry_point], "service": self.app}
        if middlewares:
            router["middlewares"] = middlewares
        return router | ({"tls": self._tls()} if self.route.tls else {})

    def _tls(self) -> dict[str, Any]:
        return {"certResolver": self.cert_resolver} if self.cert_resolver and not self.certificate else {}

    def _steps_on_the_way(self, *, proxied: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (name, middleware) in the order in which they apply to a request, `proxied` if by a trusted proxy."""
        route = self.route
        if route.allow_ips and proxied:
            # The last address in X-Forwarded-For that is not a trusted proxy's. Without one, Traefik answers 403.
            strategy = {"ipStrategy": {"excludedIPs": list(self.trusted_proxies)}}
            yield "allow-proxied", {"ipAllowList": {"sourceRange": list(route.allow_ips), **strategy}}
        elif route.allow_ips:
            yield "allow", {"ipAllowList": {"sourceRange": list(route.allow_ips)}}
        if self.users:
            # Anyone on the host can read the content of a route through Traefik's API, so the hashes are in a file.
            who = {"usersFile": self.htpasswd} if self.htpasswd else {"users": list(self.users)}
            passed_on = {} if route.pass_password_on else {"removeHeader": True}
            yield "auth", {"basicAuth": {"realm": self.app, **who, **passed_on}}
        named = {"customRequestHeaders": route.headers.request, "customResponseHeaders": route.headers.response}
        if headers := {key: dict(values) for key, values in named.items() if values}:
            yield "headers", {"headers": headers}
        if route.compress:
            yield "compress", {"compress": {"encodings": ENCODINGS}}
        if route.path and route.strip_path:
            yield "strip", {"stripPrefix": {"prefixes": [route.path]}}
        yield "hold", {"retry": HOLD}

    def _middlewares(self) -> dict[str, Any]:
        direct, proxied = self._steps_on_the_way(), self._steps_on_the_way(proxied=bool(self.judged_proxies))
        return {f"{self.app}-{name}": middleware for steps in (direct, proxied) for name, middleware in steps}

    def _redirections(self) -> dict[str, Any]:
        # Keep the scheme of the request: behind another TLS terminator every request arrives as http.
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
        """(what is set, digest of its value), sorted. Comparing them tells people how two route files differ."""
        route = self.route
        names = route.tcp.domains if route.tcp else route.domains
        values: dict[str, Any] = {f"domain {name}": "" for name in names}
        values |= {f"redirect {source}": goal for source, goal in route.redirects.items()}
        values |= {f"request header {name}": value for name, value in route.headers.request.items()}
        values |= {f"response header {name}": value for name, value in route.headers.response.items()}
        values |= {f"allowed range {range_}": "" for range_ in route.allow_ips}
        tls = route.tcp.tls if route.tcp else "terminate" if route.tls else "none"
        values |= {
            "entry point": self.entry_point,
            "tls": [tls, self._tls().get("certResolver") if tls == "terminate" else None],
        }
        values |= {"certificate": self.certificate.pem} if self.certificate else {}
        values |= {"path": [route.path, route.strip_path]} if route.path else {}
        values |= {"basic_auth": self.users} if self.users else {}
        values |= {"password passed on": ""} if self.users and route.pass_password_on else {}
        values |= {"compress": ENCODINGS} if route.compress else {}
        values |= {"protocol": route.protocol} if route.protocol != "http" else {}
        values |= {f"trusted proxy {proxy}": "" for proxy in self.judged_proxies}
        values |= {"tcp": ""} if route.tcp else {}
        return tuple((name, digest(value)) for name, value in sorted(values.items()))


def _content(
    kind: str, routers: dict[str, Any], middlewares: dict[str, Any], services: dict[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {"routers": routers}
    if middlewares:  # an empty block makes the whole file invalid
        content["middlewares"] = middlewares
    return {kind: content | {"services": services}}


def marker(app: str, slot: str, route_digest: str) -> str:
    """Return the name of the service whose presence in Traefik's API shows that it has applied this very file."""
    return f"{app}-route-{slot}-{route_digest}"


def redirect_name(app: str, source: str) -> str:
    """Return the name of a redirect's router and middleware. App names do not have a dot, so it is unique."""
    return f"{app}-redirect.{source}"
