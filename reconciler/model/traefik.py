"""`traefik:` in fleet.yaml: the Traefik on the hosts as routes see it and, with a version, its whole configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from reconciler.model import addresses, values
from reconciler.model.artifact import Artifact, Sha256OfEach, Source, check_digests
from reconciler.model.env import Env
from reconciler.model.etcd import Etcd
from reconciler.model.fields import EachOnce, MayBeEmpty, Whole, refuse
from reconciler.model.machine import Strict
from reconciler.model.observed import TRAEFIK
from reconciler.model.source import fill_in_arch

RELEASES = "https://github.com/traefik/traefik/releases/download/v{version}/traefik_v{version}_linux_{arch}.tar.gz"
METRICS = "metrics"  # the name of their entry point
_FOR_ANY_TRAEFIK = frozenset(
    {"version", "http_entry_point", "https_entry_point", "cert_resolver", "api_port", "routes", "etcd"}
)


class Acme(Strict):
    """Certificates for every route with tls, from Let's Encrypt or another ACME authority."""

    email: addresses.Email = Field(
        description="Address that the authority warns when a certificate is about to expire."
    )
    challenge: Literal["http", "dns"] = Field(
        default="http", description="How to prove control of a domain: over port 80 (http), or by a DNS record (dns)."
    )
    provider: values.Name | None = Field(
        default=None, description="With dns: the provider's code in Traefik's list, such as cloudflare."
    )
    env: Env = Field(
        default_factory=dict,
        description="Variables that the DNS provider needs, such as CF_DNS_API_TOKEN; {secret: name} is looked up.",
    )
    staging: values.Flag = Field(
        default=False, description="Let's Encrypt's staging authority: no limits, but no browser trusts it."
    )
    ca_server: addresses.HttpsAddress | None = Field(
        default=None, description="Directory address of an authority other than Let's Encrypt."
    )

    @model_validator(mode="after")
    def _check_challenge(self) -> Self:
        if self.challenge == "dns" and not self.provider:
            next_step = "add provider: cloudflare, or the code of your DNS provider"
            raise refuse("dns needs a provider", next_step, at=("challenge",))
        if self.challenge == "http" and self.provider:
            raise refuse("is for the dns challenge", "add challenge: dns, or delete it", at=("provider",))
        if self.staging and self.ca_server:
            raise refuse("is Let's Encrypt's staging, and ca_server names another authority", "keep one", ("staging",))
        return self

    @field_validator("env")
    @classmethod
    def _check_provider_env(cls, env: dict[str, Any]) -> dict[str, Any]:
        for key in env:
            if key.startswith("TRAEFIK_"):
                raise refuse("is a setting of Traefik itself", "only variables of the DNS provider go here", (key,))
            if key.startswith("LD_"):
                raise refuse("is read by the dynamic linker", "only variables of the DNS provider go here", (key,))
        return env


class Timeouts(Strict):
    """Time limits of Traefik for a visitor's side of a connection. 0 means no limit."""

    read_seconds: Annotated[int, Whole(0, 86400)] = Field(
        default=900,
        description="Limit for receiving a whole request with its body: the longest upload. Traefik's default is 60.",
    )
    write_seconds: Annotated[int, Whole(0, 86400)] = Field(
        default=0,
        description="Limit for sending a whole response: the longest download, event stream or slow answer.",
    )
    idle_seconds: Annotated[int, Whole(0, 86400)] = Field(
        default=180, description="How long a kept connection may stay open without a request."
    )


class Traefik(Strict):
    """The Traefik on the hosts. With `version`, reconcile installs, configures and upgrades it (managed).

    Without `version`, reconcile only asks the Traefik that is there.
    """

    version: values.Version | None = Field(
        default=None, description="The version to run, such as 3.7.15. Without it, reconcile does not manage Traefik."
    )
    source: Source = Field(
        default=RELEASES, description="Its release archive, or the bare program: a path or an https:// address."
    )
    sha256: Sha256OfEach | None = Field(
        default=None,
        description="Digest of the archive, from the release's checksums.txt, or one for each architecture: "
        "{amd64: 9f2c…, arm64: 4e1b…}. One alone is amd64's. Not needed for a path.",
    )
    http_entry_point: values.Name = Field(default="web", description="Entry point for plain http.")
    https_entry_point: values.Name = Field(default="websecure", description="Entry point for https.")
    tcp_ports: Annotated[dict[values.Name, Annotated[int, Whole(1, 65535)]], MayBeEmpty(dict)] = Field(
        default_factory=dict, description="Entry points of TCP routes, by name, with their ports: {postgres: 5432}."
    )
    http_port: Annotated[int, Whole(1, 65535)] = Field(default=80, description="Port of plain http.")
    https_port: Annotated[int, Whole(1, 65535)] = Field(default=443, description="Port of https.")
    redirect_to_https: values.Flag | None = Field(
        default=None, description="Redirect plain http to https (GET 301, POST 308). Default: yes if `acme` is set."
    )
    acme: Acme | None = Field(default=None, description="Certificates. Without it, a self-signed one is shown.")
    cert_resolver: values.Name | None = Field(
        default="letsencrypt",
        description="Certificate resolver that routes use. None is used if it is empty, or with `version` but no "
        "`acme`.",
    )
    trusted_proxies: Annotated[tuple[addresses.Network, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="Proxies whose X-Forwarded-For header is trusted: a CDN or TLS terminator in front of Traefik.",
    )
    proxy_protocol: Annotated[tuple[addresses.Network, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(),
        description="TCP load balancers whose PROXY protocol header is trusted: it names the visitor's address.",
    )
    idle_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=1,
        description="When to close idle connections to apps. Must be shorter than the apps' own keep-alive time, which "
        "is 2 s for gunicorn and 5 s for Node and uvicorn.",
    )
    timeouts: Annotated[Timeouts, MayBeEmpty(dict)] = Field(
        default_factory=Timeouts,
        description="Time limits for visitors: for a request, a response, and between two, over http and https.",
    )
    access_log: values.Flag = Field(default=False, description="Log every request to the journal, as JSON.")
    dashboard: values.Flag = Field(
        default=False, description="Traefik's dashboard, on 127.0.0.1 only; `reconcile dashboard HOST` opens it."
    )
    metrics: values.Flag = Field(
        default=False, description="Traefik's own metrics for Prometheus, on 127.0.0.1 only, at /metrics."
    )
    metrics_port: Annotated[int, Whole(1, 65535)] = Field(
        default=8082, description="With metrics: their port on 127.0.0.1."
    )
    api_port: Annotated[int, Whole(1, 65535)] = Field(
        default=8080, description="Port of Traefik's API on 127.0.0.1. With `version`, the next port is used as well."
    )

    routes: Literal["files", "etcd"] = Field(
        default="files",
        description="Where the routes of apps with `edges` lie: in a file on each edge, or in etcd for all of them.",
    )
    etcd: Etcd | None = Field(default=None, description="With routes: etcd, how to reach it.")

    @property
    def archive(self) -> Artifact:
        """Its release archive."""
        # One digest without a source has always been that of the archive for amd64.
        one = isinstance(self.sha256, str) and "source" not in self.model_fields_set
        return Artifact(source=fill_in_arch(self.source, "amd64") if one else self.source, sha256=self.sha256)

    @property
    def managed(self) -> bool:
        """True if reconcile installs and runs this Traefik."""
        return self.version is not None

    @property
    def api_ports(self) -> tuple[int, ...]:
        """Ports on which the API may answer. A managed Traefik has two slots, one port each."""
        return (self.api_port, self.api_port + 1) if self.managed else (self.api_port,)

    @property
    def own_ports(self) -> tuple[int, ...]:
        """Ports that a managed Traefik listens on besides those of its API."""
        metrics = (self.metrics_port,) if self.metrics else ()
        return (self.http_port, self.https_port, *sorted(self.tcp_ports.values()), *metrics)

    @property
    def redirects(self) -> bool:
        return self.managed and (self.acme is not None if self.redirect_to_https is None else self.redirect_to_https)

    @property
    def resolver(self) -> str | None:
        """The certificate resolver that routes with tls name, or None."""
        return self.cert_resolver if self.acme or not self.managed else None

    @model_validator(mode="after")
    def _check_etcd(self) -> Self:
        if self.routes == "etcd" and self.etcd is None:
            raise refuse("needs etcd beside it", "add etcd: {endpoints: [https://10.0.0.5:2379]}", at=("routes",))
        if self.etcd and self.routes != "etcd":
            raise refuse("is not used", "add routes: etcd, or delete it", at=("etcd",))
        return self

    @model_validator(mode="after")
    def _check_managed(self) -> Self:
        if self.version is None:
            for key in ("http_entry_point", "https_entry_point"):
                if getattr(self, key).lower() == TRAEFIK:
                    raise refuse("is the entry point of Traefik's own API", "name another entry point", at=(key,))
            for key in sorted(self.model_fields_set - _FOR_ANY_TRAEFIK):
                raise refuse("is only for a managed Traefik", "add version, or delete it", at=(key,))
            return self
        if not re.match(r"[3-9]\.[0-9]", self.version):
            raise refuse(f"{self.version} is not a version 3 of Traefik", "write it like 3.7.15", at=("version",))
        if self.sha256 is None and self.source.startswith("https://"):
            next_step = "copy it from traefik_v{version}_checksums.txt of the release"
            raise refuse("needs a sha256 beside it", next_step.replace("{version}", self.version), at=("version",))
        if "source" in self.model_fields_set:
            check_digests(self.source, self.sha256)
        if "cert_resolver" in self.model_fields_set and self.cert_resolver and not self.acme:
            raise refuse("names a resolver that is not configured", "add acme, or delete it", at=("cert_resolver",))
        self._check_names()
        self._check_ports()
        return self

    def _check_names(self) -> None:
        # Traefik gets its settings as variables, TRAEFIK_ENTRYPOINTS_<NAME>_…, so a name must be one lower-case word.
        named: list[tuple[tuple[str, ...], str | None]]
        named = [((key,), getattr(self, key)) for key in ("http_entry_point", "https_entry_point", "cert_resolver")]
        named += [(("tcp_ports", name), name) for name in self.tcp_ports]
        for path, name in named:
            if name is not None and (not re.fullmatch("[a-z][a-z0-9]*", name) or name == TRAEFIK):
                raise refuse(f"{name} cannot be configured by reconcile", "use a-z and 0-9, and not traefik", at=path)
        for path, name in named[:2] + named[3:]:
            if self.metrics and name == METRICS:
                raise refuse(f"{METRICS} is the entry point of Traefik's metrics", "choose another name", at=path)
        for name in {self.http_entry_point, self.https_entry_point} & self.tcp_ports.keys():
            raise refuse(f"{name} is an entry point for http", "choose another name", at=("tcp_ports", name))
        if self.http_entry_point == self.https_entry_point:
            raise refuse("is also the one for http", "give each its own name", at=("https_entry_point",))

    def _check_ports(self) -> None:
        ports: dict[tuple[str, ...], int] = {
            (key,): getattr(self, key) for key in ("http_port", "https_port", "api_port")
        }
        ports |= {("tcp_ports", name): port for name, port in self.tcp_ports.items()}
        ports |= {("metrics_port",): self.metrics_port} if self.metrics else {}
        taken: dict[int, str] = {self.api_port + 1: "api_port + 1"}
        for path, port in ports.items():
            if port in taken:
                raise refuse(f"{port} is also {taken[port]}", "give each its own port", at=path)
            taken[port] = path[-1]
        if "metrics_port" in self.model_fields_set and not self.metrics:
            raise refuse("is the port of metrics, which are off", "add metrics: true, or delete it", ("metrics_port",))
        if self.api_port == 65535:
            raise refuse("65535 leaves no port above it", "use a lower one", at=("api_port",))
