"""A host of the fleet: how to reach it, its folders, its Traefik, and where the routes of edges lie. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.model.desired import SecretRef
from reconciler.model.etcd import Etcd, EtcdTls
from reconciler.model.machine import HostSpec, Layout
from reconciler.model.observed import TRAEFIK, ObservedHost
from reconciler.tools.etcd import EtcdAccess


@dataclass(frozen=True)
class EtcdStore:
    """The etcd that the Traefik of every edge reads."""

    access: EtcdAccess
    edges: Mapping[str, tuple[str, ...]]  # of each app that has any

    def keeps(self, app: str, host: str) -> bool:
        """True if the route of the app stays there when this host gives up its own."""
        return app in self.edges and host not in self.edges[app]


@dataclass(frozen=True)
class HostSite:
    """A host of the fleet: how to reach it, its folders, and the ports of its Traefik's API."""

    name: str
    spec: HostSpec
    api_ports: tuple[int, ...]
    etcd: EtcdStore | None = None  # where the routes of edges lie, if not in files

    @property
    def layout(self) -> Layout:
        return self.spec.paths

    @property
    def traefik_is_ours(self) -> bool:
        """True if reconcile manages the Traefik, which then has two slots with a port each."""
        return len(self.api_ports) > 1


def api_ports(seen: ObservedHost, site: HostSite) -> tuple[int, ...]:
    """The ports on which to ask Traefik's API: those where a unit of Traefik listens. Others may be squatted.

    A Traefik that reconcile does not manage may run in any unit: the program that answers on its port is taken for it.
    """
    others = () if site.traefik_is_ours else site.api_ports
    return tuple(sorted({*seen.traefik_listens, *seen.app(TRAEFIK).hand_ports, *others}))


def api_port(seen: ObservedHost, site: HostSite) -> int:
    """The API port of the Traefik that is live on the host."""
    ports = seen.traefik_listens or seen.traefik_ports
    slots = [slot for slot in seen.app(TRAEFIK).slots if slot.name.isdigit() and int(slot.name) in ports]
    live = [slot for slot in slots if slot.enabled] or slots
    return int(live[0].name) if live else site.api_ports[0]


def etcd_access(etcd: Etcd, secret: Callable[[str], str]) -> EtcdAccess:
    """How to ask the etcd, with the values of its secrets. Raises SecretError and whatever else `secret` raises."""

    def text(value: str | SecretRef | None) -> str:
        return secret(value.secret) if isinstance(value, SecretRef) else value or ""

    tls = etcd.tls or EtcdTls()
    return EtcdAccess(
        etcd.endpoints,
        ca=text(tls.ca),
        user=etcd.username or "",
        password=text(etcd.password),
        certificate=text(tls.certificate),
        key=text(tls.key),
    )
