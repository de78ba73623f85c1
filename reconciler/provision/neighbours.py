"""What an edge's sshd has to let a controller reach on other machines: instances of apps, and etcd. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from reconciler.model.desired import Desired, edges_of
from reconciler.model.etcd import PORT


def places_to_open(desired: Desired, host: str) -> tuple[str, ...]:
    """Return what `permitopen` has to name on this host, sorted; nothing on a host that is no edge."""
    apps = [app for app in desired.apps if host in edges_of(app)]
    if not apps:
        return ()
    places = {desired.host(name).private_address for app in apps for name in app.hosts}
    found = {f"{_bracketed(place)}:*" for place in places if place}
    etcd = desired.fleet.traefik.etcd if desired.fleet.traefik.routes == "etcd" else None
    for endpoint in etcd.endpoints if etcd else ():
        address = urlsplit(endpoint)
        found.add(f"{_bracketed(address.hostname or '')}:{address.port or PORT}")
    return tuple(sorted(found))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
