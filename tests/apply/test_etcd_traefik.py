"""A real Traefik reads the same routes from etcd as from files."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.etcd import Etcd
from reconciler.apply.etcd_routes import write_route
from reconciler.model.route import Route
from reconciler.tools.route_settings import Balancer, RouteSettings
from reconciler.tools.traefik import edge_keys, edge_route_text, route_text
from reconciler.tools.traefik_api import is_served, read_applied, read_rawdata
from reconciler.tools.traefik_keys import route_keys
from tests.apply.test_etcd import asked
from tests.hosts.proxy import traefik_binary
from tests.hosts.stories.project import wait_for
from tests.support.child import killed_at_the_end
from tests.support.etcd import Cluster, etcd_cluster, own_address
from tests.tools.test_traefik import EVERY_KEY, HASH, settings

SLOT = "4001"
PORTS = {"WEB": 8000, "WEBSECURE": 8443, "TRAEFIK": 8080, "PG": 5432}
MORE: list[dict[str, Any]] = [
    {"basic_auth": {"secret": "shop/users"}},
    {"headers": {"response": {"X-Empty": "", "X-Slash": "a/b, c"}}},
    {"domains": ["*.example.com", "example.com"]},
    {"allow_ips": ["10.0.0.0/8", "192.0.2.7/32"], "redirects": {"www.example.com": "example.com"}, "compress": True},
]


@dataclass
class Traefik:
    api: str
    folder: Path
    cluster: Cluster

    def parts(self, provider: str) -> dict[str, Any]:
        """What it holds from this provider, by kind and name."""
        with urllib.request.urlopen(f"{self.api}/api/rawdata", timeout=5) as answer:
            held = json.load(answer)
        found = {
            kind: {
                name: {key: value for key, value in part.items() if key != "using"}
                for name, part in parts.items()
                if name.endswith(f"@{provider}") and not name.startswith("reconcile-is-here")
            }
            for kind, parts in held.items()
        }
        found = {kind: parts for kind, parts in found.items() if parts}
        return dict(json.loads(json.dumps(found).replace(f"@{provider}", "")))


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    folder, address = tmp_path_factory.mktemp("traefik"), own_address(7)
    (folder / "dynamic").mkdir()
    with etcd_cluster(folder, size=1, first=4) as cluster:
        cluster.wait()
        environ = {
            "TRAEFIK_API_INSECURE": "true",
            **{f"TRAEFIK_ENTRYPOINTS_{name}_ADDRESS": f"{address}:{port}" for name, port in PORTS.items()},
            "TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION": "20ms",
            "TRAEFIK_PROVIDERS_FILE_DIRECTORY": str(folder / "dynamic"),
            "TRAEFIK_PROVIDERS_ETCD_ENDPOINTS": cluster.endpoints[0].removeprefix("http://"),
            "TRAEFIK_GLOBAL_CHECKNEWVERSION": "false",
            "TRAEFIK_GLOBAL_SENDANONYMOUSUSAGE": "false",
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [traefik_binary()], env=environ, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        with killed_at_the_end(process):
            yield Traefik(f"http://{address}:{PORTS['TRAEFIK']}", folder / "dynamic", cluster)


@pytest.mark.parametrize("keys", [*EVERY_KEY, *MORE], ids=lambda keys: json.dumps(keys)[:60])
def test_a_route_is_the_same_from_etcd_and_from_a_file(traefik: Traefik, keys: dict[str, Any]) -> None:
    route = settings(**keys)
    if "basic_auth" in keys:
        route = replace(route, users=(f"ann:{HASH}",))
    digest = route.digest(SLOT)
    marker = route.marker(SLOT, digest)
    new = traefik.folder.parent / "new"
    new.write_text(route_text(route, SLOT).partition("# end\n")[0])
    new.replace(traefik.folder / "hello.yml")
    wanted = route_keys(route.content(SLOT, marker))

    async def write(etcd: Etcd) -> bool:
        return await write_route(etcd, "hello", "me", wanted)

    asked(traefik.cluster, write)

    def applied(provider: str) -> bool:
        try:
            held = traefik.parts(provider)
        except OSError:
            return False
        return any(marker in held.get(kind, {}) for kind in ("services", "tcpServices"))

    for provider in ("file", "etcd"):
        wait_for(lambda provider=provider: applied(provider), 75, f"Traefik has the route from {provider}")  # type: ignore[misc]
    assert traefik.parts("etcd") == traefik.parts("file")


def test_the_tree_is_watched_again_after_its_last_route_is_gone(traefik: Traefik) -> None:
    async def write(etcd: Etcd, keys: dict[str, str]) -> bool:
        return await write_route(etcd, "hello", "me", keys)

    route = settings()
    wanted = route_keys(route.content(SLOT, "m"))
    for keys in ({}, wanted, {}, wanted):
        asked(traefik.cluster, lambda etcd, keys=keys: write(etcd, keys))  # type: ignore[misc]
        wait_for(lambda keys=keys: ("routers" in traefik.parts("etcd")) == bool(keys), 10, "Traefik follows")  # type: ignore[misc]


def edge_route() -> RouteSettings:
    route = Route.model_validate({"domains": ["edge.example"], "redirects": {"www.edge.example": "edge.example"}})
    balancer = Balancer((("web1", "10.0.0.2"), ("web2", "10.0.0.3")), "/ping", (), sticky=True, in_etcd=True)
    return RouteSettings("hello", route, "websecure", None, balancer=balancer)


SERVERS = (("web1", "4001"), ("web2", "4000"))


def rawdata(traefik: Traefik) -> dict[str, Any]:
    with urllib.request.urlopen(f"{traefik.api}/api/rawdata", timeout=5) as answer:
        return read_rawdata(answer.read())


def test_a_real_traefik_shows_the_route_of_an_edge_and_what_somebody_changed(traefik: Traefik) -> None:
    route, digest = edge_route(), edge_route().edge_digest
    new = traefik.folder.parent / "new"
    new.write_text(edge_route_text(route, SERVERS, 7))
    new.replace(traefik.folder / "hello.yml")
    wanted = edge_keys(route, SERVERS, 7)

    def write() -> bool:
        return asked(traefik.cluster, lambda etcd: write_route(etcd, "hello", "me", wanted))

    def served() -> bool:
        return is_served(read_applied("hello", rawdata(traefik)), digest, 7)

    write()
    wait_for(served, 75, "the route is applied")
    applied = read_applied("hello", rawdata(traefik))
    assert applied and applied.servers == ("10.0.0.2:4001", "10.0.0.3:4000")
    for key, value in (
        ("middlewares/hello-hold/retry/attempts", "1"),
        ("services/hello/loadBalancer/servers/0/url", "http://203.0.113.1"),
        ("routers/hello/rule", "Host(`other.example`)"),
    ):
        traefik.cluster.ctl("put", f"traefik/http/{key}", value)
        wait_for(lambda: not served(), 10, f"the change of {key} is seen")
        assert write()
        wait_for(served, 10, f"{key} is put back")
