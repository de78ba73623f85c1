"""The route of an app: the visitors that reach it, and what Traefik does with their requests on the way."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from reconciler.model import addresses, values
from reconciler.model.fields import AtLeastOne, EachOnce, MayBeEmpty, Text, quoted_excerpt, refuse
from reconciler.model.machine import Strict
from reconciler.model.observed import TRAEFIK
from reconciler.model.secret import SecretRef

# These headers belong to one connection, or Traefik sets them itself. A value set by a route would break requests.
OF_THE_CONNECTION = re.compile(
    "connection|content-length|host|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade"
)


def _check_range(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        whole = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refuse(
            f"{quoted_excerpt(text)} is not an address range", "write it like 203.0.113.0/24 or 2001:db8::/32"
        ) from None
    raise refuse(
        f"{quoted_excerpt(text)} has bits set beyond its prefix length",
        f"write {whole}, or /{whole.max_prefixlen} for one address",
    )


def _check_header(name: str) -> str:
    if OF_THE_CONNECTION.fullmatch(name.lower()):
        raise refuse("cannot be set by a route", "leave it to Traefik")
    return name


def _refuse_template(text: str) -> str:
    if "{{" in text:
        raise refuse("contains {{, which Traefik would evaluate as a template", "remove it")
    return text


def _check_prefix(path: str) -> str:
    if any(part in (".", "..") for part in path.split("/")):
        raise refuse(
            f"{quoted_excerpt(path)} has a part that is . or ..", "no request would match it; remove that part"
        )
    return path


Range = Annotated[
    str, Text(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", "is not an address range", "write it like 203.0.113.0/24"),
    AfterValidator(_check_range),
]  # fmt: skip
HeaderName = Annotated[
    str,
    Text(r"[A-Za-z0-9!#$%&'*+.^_|~-]+", "is not the name of a header", "write it like X-Frame-Options"),
    AfterValidator(_check_header),
]
HeaderValue = Annotated[
    str,
    Text(
        r"([^\x00-\x20\x7f\x85\xa0\u2028\u2029\ud800-\udfff]([^\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]*"
        r"[^\x00-\x20\x7f\x85\xa0\u2028\u2029\ud800-\udfff])?)?",
        "cannot be the value of a header",
        'write one line, with no space at either end; "" removes the header',
        longest=4096,
    ),
    AfterValidator(_refuse_template),
]
PathPrefix = Annotated[
    str,
    Text(
        r"(/[A-Za-z0-9_.~!$&'()*+,;=:@-]+)+",
        "is not the beginning of a path",
        "write it like /api: one slash first, none at the end, no % and no pattern",
        longest=500,
    ),
    AfterValidator(_check_prefix),
]


def check_header_names(headers: dict[str, str]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for name in headers:
        if other := seen.get(name.lower()):
            raise refuse(f"is the same header as {other}", "keep one of them", at=(name,))
        seen[name.lower()] = name
    return headers


HeaderMap = Annotated[dict[HeaderName, HeaderValue], AfterValidator(check_header_names), MayBeEmpty(dict)]


class Headers(Strict):
    """Headers that Traefik sets. Every value arrives unchanged; "" removes the header."""

    request: HeaderMap = Field(default_factory=dict, description="Headers set on requests to the app.")
    response: HeaderMap = Field(default_factory=dict, description="Headers set on responses to visitors.")


class TcpRoute(Strict):
    """TCP connections instead of http requests, for an app that does not speak HTTP."""

    entry_point: values.Name = Field(
        description="Entry point of Traefik's static configuration that is reserved for it, such as postgres."
    )
    domains: Annotated[tuple[addresses.Domain, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Names that TLS clients ask for (SNI). Without any: every connection to the entry point.",
    )
    tls: Literal["none", "terminate", "passthrough"] = Field(
        default="none",
        description="none: bytes are passed on as they are; terminate: Traefik ends TLS; passthrough: the app ends it.",
    )

    speaks_first: Literal["server", "client"] = Field(
        default="server",
        description="Who sends the first bytes of a connection. With client (PostgreSQL, Redis), tls: none can share "
        "an entry point with routes that have TLS; with server (MySQL, SMTP) it cannot.",
    )

    @model_validator(mode="after")
    def _check_entry_point(self) -> Self:
        if self.entry_point.lower() == TRAEFIK:
            raise refuse("is the entry point of Traefik's own API", "name another entry point", at=("entry_point",))
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.domains and self.tls == "none":
            raise refuse(
                "can be told apart only with TLS",
                "write tls: terminate or tls: passthrough, or no domains",
                at=("domains",),
            )
        return self


class RouteTls(Strict):
    """https with a certificate that is not Traefik's to obtain."""

    certificate: SecretRef = Field(
        description="PEM text: the certificate, those of its issuers, and its private key. Every edge serves the same."
    )


def _kind_of_tls(value: object) -> str:
    return "RouteTls" if isinstance(value, (dict, RouteTls)) else "flag"


Tls = Annotated[Annotated[values.Flag, Tag("flag")] | Annotated[RouteTls, Tag("RouteTls")], Discriminator(_kind_of_tls)]


class Route(Strict):
    """The visitors that reach the app through Traefik."""

    domains: Annotated[tuple[addresses.DomainOrWildcard, ...], EachOnce, AtLeastOne] = Field(
        default=(),
        description="Host names that lead to this app, such as example.com, or *.example.com for every name directly "
        "below it that no other app has. Required without `tcp`.",
    )
    protocol: Literal["http", "h2c"] = Field(
        default="http",
        description="How Traefik speaks to the app: http is HTTP/1.1; h2c is HTTP/2 without TLS, as gRPC needs it.",
    )
    tls: Tls = Field(
        default=True,
        description="Serve over https, on the https entry point of fleet.yaml. With {certificate: {secret: name}}, "
        "with that certificate; else Traefik obtains one.",
    )
    redirects: Annotated[dict[addresses.Domain, addresses.Domain], MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Names that only redirect to one of the domains, such as {www.example.com: example.com}.",
    )
    path: PathPrefix | None = Field(
        default=None, description="Only requests for this path and below it, such as /api; the longest path wins."
    )
    strip_path: values.Flag = Field(default=False, description="Remove the path before the app gets the request.")
    headers: Annotated[Headers, MayBeEmpty(dict)] = Field(
        default_factory=Headers, description="Headers set on requests and responses."
    )
    basic_auth: SecretRef | None = Field(
        default=None, description="Ask for a password. The secret holds htpasswd lines, bcrypt only (htpasswd -nB)."
    )
    pass_password_on: values.Flag = Field(
        default=False,
        description="With basic_auth: leave the visitor's Authorization header on the request, password included.",
    )
    allow_ips: Annotated[tuple[Range, ...], EachOnce, AtLeastOne] = Field(
        default=(),
        description="Only visitors from these ranges, such as 203.0.113.0/24; others get 403. Through trusted_proxies, "
        "X-Forwarded-For tells who the visitor is.",
    )
    edges: Annotated[tuple[values.HostName, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Hosts of fleet.yaml whose Traefik sends the visitors to all hosts of the app, over their private "
        "addresses. Without any, the Traefik of each host serves its own instance.",
    )
    sticky: values.Flag = Field(
        default=False,
        description="With edges: a cookie keeps a visitor on the instance that answered first, until it is replaced.",
    )
    compress: values.Flag = Field(default=False, description="Compress responses for clients that accept it.")
    tcp: TcpRoute | None = Field(
        default=None, description="TCP connections instead of http. Leave out `domains` above then."
    )

    @property
    def certificate(self) -> SecretRef | None:
        """The secret that holds the certificate, if it is one of the app's own."""
        return self.tls.certificate if isinstance(self.tls, RouteTls) else None

    @property
    def visited_domain(self) -> str:
        """A name that leads to the app: one of its domains without *, else one below the first."""
        exact = [domain for domain in self.domains if not domain.startswith("*.")]
        return exact[0] if exact else self.domains[0].replace("*", "www", 1)

    @property
    def claims(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Pairs (key, claim). Two apps on one host may not have the same claim."""
        if self.tcp:
            names = list(enumerate(self.tcp.domains))
            on = f" on entry point {self.tcp.entry_point}"
            every = [(("tcp", "entry_point"), f"every connection{on}")] if not names else []
            return every + [(("tcp", "domains", index), f"{name}{on}") for index, name in names]
        served = [(("domains", index), f"{name}{self.path or ''}") for index, name in enumerate(self.domains)]
        return served + [(("redirects", name), name) for name in self.redirects]

    @model_validator(mode="after")
    def _check_http_or_tcp(self) -> Self:
        if self.tcp is None:
            if not self.domains:
                raise refuse("names no domain", "add domains: [example.com]")
            return self
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in ("tcp", "allow_ips") and getattr(self, key) is not None:
                where = f"write it below tcp, as tcp.{key}" if key in TcpRoute.model_fields else "leave it out"
                raise refuse("is for http, and this route is tcp", where, at=(key,))
        return self

    @model_validator(mode="after")
    def _check_redirects(self) -> Self:
        for source, goal in self.redirects.items():
            if source in self.domains:
                raise refuse("is already one of the domains", "name it once", at=("redirects", source))
            if goal not in self.domains:
                raise refuse(f"{goal} is not one of the domains", "add it to domains", at=("redirects", source))
        return self

    @model_validator(mode="after")
    def _check_password(self) -> Self:
        if self.pass_password_on and self.basic_auth is None:
            raise refuse("needs basic_auth", "add basic_auth, or delete this line", at=("pass_password_on",))
        return self

    @model_validator(mode="after")
    def _check_edges(self) -> Self:
        if self.sticky and not self.edges:
            raise refuse("needs edges", "add edges: [lb1], or delete this line", at=("sticky",))
        if self.edges and self.protocol != "http":
            raise refuse("speak http to the app only", "delete protocol, or edges", at=("edges",))
        return self

    @model_validator(mode="after")
    def _check_strip_path(self) -> Self:
        if self.strip_path and self.path is None:
            raise refuse("needs a path to strip", "add path: /api, or delete this line", at=("strip_path",))
        return self
