"""The route file of an edge: what the guard of a login without root lets through, and what is read back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model.observed import EDGE, AppliedRoute
from reconciler.model.route import Route
from reconciler.tools.route_settings import Balancer, RouteSettings
from reconciler.tools.traefik import edge_keys, edge_route_text, read_route_head, read_route_servers
from reconciler.tools.traefik_api import read_applied, read_rawdata
from tests.tools.test_verbs import judged_file

PLACES = (("web1", "10.0.0.2"), ("web-2.lan", "192.168.7.3"), ("web3", "100.64.0.9"))
SERVERS = (("web1", "4001"), ("web-2.lan", "4000"), ("web3", "4001"))


def edge_settings(balancer: Balancer, users: tuple[str, ...] = ()) -> RouteSettings:
    file = "/etc/traefik/dynamic/hello.htpasswd"
    return RouteSettings("hello", Route(domains=("a.test",)), "web", None, users, (), file, balancer)


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("users", [(), ("me:$2y$05$" + "a" * 53,)])
@pytest.mark.parametrize("headers", [(), (("Host", "a.test"), ("X-Forwarded-Proto", "https"))])
@pytest.mark.parametrize("in_etcd", [False, True])
def test_every_route_of_an_edge_that_we_write_is_accepted(
    *, in_etcd: bool, sticky: bool, users: tuple[str, ...], headers: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    settings = edge_settings(Balancer(PLACES, "/ping?deep=1", headers, sticky, in_etcd), users)

    assert judged_file("sound_route", edge_route_text(settings, SERVERS, 7), tmp_path) == ""


@pytest.mark.parametrize("address", ["93.184.216.34", "127.0.0.1", "172.32.0.1", "0.0.0.0", "10.0.0.2@evil"])
def test_an_edge_sends_visitors_to_no_machine_outside_private_networks(address: str, tmp_path: Path) -> None:
    """The login of reconcile cannot make the edge a proxy to the world, or to what listens on its own loopback."""
    text = edge_route_text(edge_settings(Balancer((("web1", "10.0.0.2"),), "/", ())), (("web1", "4001"),), 7)
    assert judged_file("sound_route", text, tmp_path) == "" and "http://10.0.0.2:4001" in text

    assert judged_file("sound_route", text.replace("http://10.0.0.2", f"http://{address}", 1), tmp_path) != ""


def test_the_head_of_the_file_names_one_slot_of_each_host() -> None:
    settings = edge_settings(Balancer(PLACES, "/ping", ()))
    head = edge_route_text(settings, SERVERS, 7).splitlines()[:3]

    assert read_route_head(head)[:3] == (EDGE, settings.edge_digest, 7)
    assert read_route_servers(head) == SERVERS


@pytest.mark.parametrize(
    "line",
    [
        "# reconcile route slot=edge digest=aaaaaaaaaaaa attempt=7",
        "# reconcile route slot=4000 digest=aaaaaaaaaaaa attempt=7 servers=web1:4000",
        "# reconcile route slot=edge digest=aaaaaaaaaaaa attempt=7 servers=web1:4000 and more",
    ],
)
def test_a_head_of_any_other_form_is_not_ours(line: str) -> None:
    assert read_route_head([line]) == ("", "", 0, ())


def test_the_digest_tells_everything_but_the_servers() -> None:
    base = Balancer(PLACES, "/ping", ())
    digests = {
        edge_settings(each).edge_digest
        for each in (
            base,
            Balancer(PLACES[:2], "/ping", ()),
            Balancer(PLACES, "/", ()),
            Balancer(PLACES, "/ping", (), True),
            Balancer(PLACES, "/ping", (), in_etcd=True),
        )
    }

    assert len(digests) == 5
    assert edge_route_text(edge_settings(base), SERVERS, 7) != edge_route_text(edge_settings(base), SERVERS[:2], 7)


def test_visitors_are_spread_over_every_host_and_traefik_checks_each_as_we_did() -> None:
    headers = (("Host", "a.test"), ("X-Forwarded-Proto", "https"))
    content = yaml.safe_load(
        edge_route_text(edge_settings(Balancer(PLACES, "/ping", headers, sticky=True)), SERVERS, 7)
    )

    assert content["http"]["services"]["hello"]["loadBalancer"] == {
        "servers": [
            {"url": "http://10.0.0.2:4001"},
            {"url": "http://192.168.7.3:4000"},
            {"url": "http://100.64.0.9:4001"},
        ],
        "healthCheck": {
            "path": "/ping",
            "interval": "1s",
            "timeout": "2s",
            "followRedirects": False,
            "hostname": "a.test",
            "headers": {"X-Forwarded-Proto": "https"},
        },
        "sticky": {"cookie": {"name": "hello_edge", "httpOnly": True, "secure": True, "sameSite": "lax"}},
    }


def test_what_traefik_holds_names_its_servers_and_those_that_it_leaves_out() -> None:
    body = (
        b'{"routers": {"hello@file": {"status": "enabled"}}, "services": {"hello@file": {"loadBalancer": {"servers": '
        b'[{"url": "http://10.0.0.2:4001"}, {"url": "http://10.0.0.3:4000"}]}, "serverStatus": '
        b'{"http://10.0.0.2:4001": "UP", "http://10.0.0.3:4000": "DOWN"}}, "hello-route-edge-aaaaaaaaaaaa-7@file": {}}}'
    )

    assert read_applied("hello", read_rawdata(body)) == AppliedRoute(
        EDGE, "aaaaaaaaaaaa", None, 7, ("10.0.0.2:4001", "10.0.0.3:4000"), ("10.0.0.3:4000",)
    )


def test_with_etcd_the_file_comes_after_it_and_leaves_the_marker_to_it() -> None:
    settings = edge_settings(Balancer(PLACES, "/ping", (), in_etcd=True))
    file, keys = yaml.safe_load(edge_route_text(settings, SERVERS, 7))["http"], edge_keys(settings, SERVERS, 7)
    marker = f"hello-route-edge-{settings.edge_digest}-7"

    assert file["routers"]["hello"]["priority"] == len("Host(`a.test`)") - 1
    assert list(file["services"]) == ["hello"]
    assert "traefik/http/routers/hello/priority" not in keys
    assert keys[f"traefik/http/services/{marker}/loadBalancer/servers/0/url"] == "http://10.0.0.2:4001"
    assert keys["traefik/http/services/hello/loadBalancer/healthCheck/interval"] == "1s"


def held(**changes: Any) -> bytes:
    """What Traefik holds of an edge's route from its file and from etcd, with changes in what etcd has."""
    router = {"rule": "Host(`a.test`)", "service": "hello", "middlewares": ["hello-hold@P"], "status": "enabled"}
    service = {"loadBalancer": {"servers": [{"url": "http://10.0.0.2:4001"}]}}
    retry = {"retry": {"attempts": 20}, "status": "enabled"}

    def of(provider: str, priority: int, **other: Any) -> dict[str, Any]:
        parts = {"router": {**router, "priority": priority}, "service": service, "retry": retry, **other}
        text = json.dumps(
            {
                "routers": {"hello@P": parts["router"]},
                "middlewares": {"hello-hold@P": parts["retry"]},
                "services": {"hello@P": parts["service"]},
            }
        )
        return dict(json.loads(text.replace("@P", f"@{provider}")))

    file, etcd = of("file", 13), of("etcd", 14, **changes)
    both = {kind: {**file[kind], **etcd[kind]} for kind in file}
    both["services"]["hello-route-edge-aaaaaaaaaaaa-7@etcd"] = {}
    return json.dumps(both).encode()


def test_a_route_from_etcd_is_applied_once_traefik_shows_its_marker() -> None:
    assert read_applied("hello", read_rawdata(held())) == AppliedRoute(
        EDGE, "aaaaaaaaaaaa", None, 7, ("10.0.0.2:4001",)
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"retry": {"retry": {"attempts": 1}, "status": "enabled"}},
            "hello-hold in etcd differs from what was written",
        ),
        ({"service": {"loadBalancer": {"servers": [{"url": "http://10.6.6.6:4001"}]}}}, "the servers in etcd differ"),
        ({"router": {"rule": "Host(`a.test`)", "status": "enabled"}}, "hello in etcd differs from what was written"),
    ],
)
def test_what_somebody_changes_in_etcd_is_seen(changes: dict[str, Any], problem: str) -> None:
    applied = read_applied("hello", read_rawdata(held(**changes)))

    assert applied and applied.problem and applied.problem.startswith(problem)


def test_a_route_in_etcd_is_not_that_of_a_host_without_a_file_of_the_app() -> None:
    body = json.loads(held())
    for parts in body.values():
        for name in [name for name in parts if name.endswith("@file")]:
            del parts[name]

    assert read_applied("hello", read_rawdata(json.dumps(body).encode())) is None
