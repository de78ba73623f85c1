"""Routes as people write them: what is refused and where, what two apps may share, and what a plan says of a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState, SecretUnusable
from reconciler.model.desired import App, Traefik
from reconciler.model.machine import HostSpec, Scope
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from tests.tools.test_traefik import HASH

HEAD = "app: {app}\nversion: 1\nartifact: {{source: x}}\nhosts: [web1]\nports: [{port}]\n"


def app_file(route: str, app: str = "hello", port: int = 4000) -> str:
    return HEAD.format(app=app, port=port) + f"route: {route}\n"


def loaded(tmp_path: Path, *texts: str) -> tuple[App, ...]:
    (tmp_path / "apps").mkdir()
    for text in texts:
        (tmp_path / "apps" / f"{text.split()[1]}.yaml").write_text(text)
    return load(tmp_path).apps


def problems(tmp_path: Path, *texts: str) -> list[str]:
    with pytest.raises(InvalidDesiredState) as refused:
        loaded(tmp_path, *texts)
    assert all(problem.message and problem.next_step for problem in refused.value.problems)
    return [str(problem).replace(f"{tmp_path}/apps/", "") for problem in refused.value.problems]


REFUSED = [
    ("{tls: true}", "6:8  route: names no domain; add domains: [example.com]"),
    ("{domains: []}", "6:18  route.domains: is an empty list"),
    (
        "{domains: [a.de], redirects: {www.a.de: b.de}}",
        "6:48  route.redirects.www.a.de: b.de is not one of the domains",
    ),
    ("{domains: [a.de], redirects: {a.de: a.de}}", "6:44  route.redirects.a.de: is already one of the domains"),
    ("{domains: [a.de], path: api}", "6:32  route.path: 'api' is not the beginning of a path"),
    ("{domains: [a.de], path: /api/}", "6:32  route.path: '/api/' is not the beginning of a path"),
    ("{domains: [a.de], path: /a/../b}", "6:32  route.path: '/a/../b' has a part that is . or .."),
    ("{domains: [a.de], path: '/a`b'}", "6:32  route.path: '/a`b' is not the beginning of a path"),
    ("{domains: [a.de], strip_path: true}", "6:38  route.strip_path: needs a path to strip"),
    ("{domains: [a.de], allow_ips: [10.0.0.1/8]}", "6:38  route.allow_ips[0]: '10.0.0.1/8' has bits set beyond"),
    ("{domains: [a.de], allow_ips: [10.0.0.256]}", "6:38  route.allow_ips[0]: '10.0.0.256' is not an address range"),
    ("{domains: [a.de], allow_ips: [web1]}", "6:38  route.allow_ips[0]: 'web1' is not an address range"),
    ("{domains: [a.de], basic_auth: 'ann:x'}", "6:38  route.basic_auth: must be a block of keys"),
    ("{domains: [a.de], headers: {response: {X A: b}}}", "6:47  route.headers.response.X A: 'X A' is not the name"),
    ("{domains: [a.de], headers: {request: {Host: b}}}", "6:46  route.headers.request.Host: cannot be set by a route"),
    (
        "{domains: [a.de], headers: {response: {X-A: '{{ env \"X\" }}'}}}",
        "6:52  route.headers.response.X-A: contains {{, which Traefik would evaluate",
    ),
    (
        '{domains: [a.de], headers: {response: {X-A: "a\\r\\nX-B: c"}}}',
        "6:52  route.headers.response.X-A: 'a\\r\\nX-B: c' cannot be the value of a header",
    ),
    (
        "{domains: [a.de], headers: {response: {X-A: a, x-a: b}}}",
        "6:60  route.headers.response.x-a: is the same header",
    ),
    ("{domains: [a.de], tcp: {entry_point: pg}}", "6:18  route.domains: is for http, and this route is tcp"),
    ("{tcp: {entry_point: pg}, tls: false}", "6:38  route.tls: is for http, and this route is tcp"),
    ("{tcp: {}}", "6:9  route.tcp.entry_point: is missing"),
    ("{tcp: {entry_point: traefik}}", "6:28  route.tcp.entry_point: is the entry point of Traefik's own API"),
    ("{tcp: {entry_point: Traefik}}", "6:28  route.tcp.entry_point: is the entry point of Traefik's own API"),
    ("{tcp: {entry_point: pg, domains: [a.de]}}", "6:41  route.tcp.domains: can be told apart only with TLS"),
    ("{tcp: {entry_point: pg, tls: yes}}", "6:37  route.tcp.tls: must be 'none', 'terminate' or 'passthrough'"),
    ("{domains: ['*.de']}", "6:19  route.domains[0]: '*.de' is not a domain; write it like example.com or *.example"),
    ("{domains: ['a.*.de']}", "6:19  route.domains[0]: 'a.*.de' is not a domain"),
    ("{domains: [a.de], redirects: {'*.a.de': a.de}}", "6:38  route.redirects.*.a.de: '*.a.de' is not a domain"),
    ("{domains: [a.de], pass_password_on: true}", "6:44  route.pass_password_on: needs basic_auth"),
    ("{domains: [a.de], protocol: grpc}", "6:36  route.protocol: must be 'http' or 'h2c'"),
    ("{domains: [a.de], redirect: {}}", "6:26  route.redirect: is not a key; did you mean redirects?"),
]


@pytest.mark.parametrize(("route", "expected"), REFUSED)
def test_a_route_is_refused_where_it_stands(route: str, expected: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, app_file(route))

    assert problem.startswith(f"hello.yaml:{expected}"), problem


def test_headers_and_ranges_are_taken_as_they_are_written(tmp_path: Path) -> None:
    route = """
  domains: [a.de]
  allow_ips: [203.0.113.7, 10.0.0.0/8, "2001:db8::/32"]
  headers:
    response:
      Content-Security-Policy: default-src 'self'; img-src *
      X-Price: 100 % of $5, "really" # grüße
"""
    (app,) = loaded(tmp_path, app_file(route))

    assert app.route
    assert app.route.allow_ips == ("203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32")
    assert app.route.headers.response == {
        "Content-Security-Policy": "default-src 'self'; img-src *",
        "X-Price": '100 % of $5, "really"',
    }


SHARED = [
    (
        "{domains: [a.de]}",
        "{domains: [A.de]}",
        "6:19  route.domains[0]: a.de is also a route of hello (hello.yaml:6:19)",
    ),
    (
        "{domains: [a.de], path: /x}",
        "{domains: [b.de, a.de], path: /x}",
        "6:25  route.domains[1]: a.de/x is also a route of hello (hello.yaml:6:19)",
    ),
    (
        "{domains: [a.de], redirects: {www.a.de: a.de}}",
        "{domains: [www.a.de]}",
        "6:19  route.domains[0]: www.a.de is also a route of hello (hello.yaml:6:48)",
    ),
    (
        "{tcp: {entry_point: pg}}",
        "{tcp: {entry_point: pg}}",
        "6:28  route.tcp.entry_point: every connection on entry point pg is also a route of hello (hello.yaml:6:28)",
    ),
    (
        "{tcp: {entry_point: pg, tls: passthrough, domains: [a.de]}}",
        "{tcp: {entry_point: pg, tls: terminate, domains: [a.de]}}",
        "6:58  route.tcp.domains[0]: a.de on entry point pg is also a route of hello (hello.yaml:6:60)",
    ),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARED)
def test_two_apps_on_a_host_do_not_claim_the_same(first: str, second: str, expected: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, app_file(first), app_file(second, "other", 5000))

    assert problem == f"other.yaml:{expected}, on host web1; change one of the two"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{domains: [a.de]}", "{domains: [a.de], path: /api}"),
        ("{domains: [a.de], path: /api/v1}", "{domains: [a.de], path: /api}"),
        ("{domains: [a.de]}", "{tcp: {entry_point: pg, tls: passthrough, domains: [a.de]}}"),
        (
            "{tcp: {entry_point: pg, speaks_first: client}}",
            "{tcp: {entry_point: pg, tls: passthrough, domains: [a.de]}}",
        ),
        ("{domains: [one.a.de]}", "{domains: ['*.a.de', a.de]}"),
    ],
)
def test_two_apps_may_share_a_domain_as_long_as_traefik_can_tell_them_apart(
    first: str, second: str, tmp_path: Path
) -> None:
    assert len(loaded(tmp_path, app_file(first), app_file(second, "other", 5000))) == 2


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            "{domains: [b.de]}",
            "{tcp: {entry_point: web}}",
            "6:28  route.tcp.entry_point: web is for http, and this app would receive every request there",
        ),
        (
            "{domains: [b.de, a.de], path: /x}",
            "{tcp: {entry_point: websecure, tls: passthrough, domains: [a.de]}}",
            "6:67  route.tcp.domains[0]: a.de is served over https by hello on host web1",
        ),
        (
            "{tcp: {entry_point: pg, tls: terminate, domains: [a.de]}}",
            "{tcp: {entry_point: pg}}",
            "6:28  route.tcp.entry_point: hello has TLS there on host web1, so Traefik waits for the client",
        ),
        (
            "{domains: [a.de], redirects: {WWW.a.de: a.de}}",
            "{domains: [www.a.de]}",
            "6:19  route.domains[0]: www.a.de is also a route of hello (hello.yaml:6:37), on host web1",
        ),
    ],
)
def test_a_tcp_app_takes_no_request_from_another(first: str, second: str, expected: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, app_file(first), app_file(second, "other", 5000))

    assert problem.startswith(f"other.yaml:{expected}"), problem


def worked_out(tmp_path: Path, route: str, secret: str = "", scope: Scope = "system") -> TargetFiles:
    (app,) = loaded(tmp_path, app_file(route))
    site = HostSite("web1", HostSpec(address="web1", scope=scope), (8080,))
    return resolve(app, site, Traefik(), tmp_path, "0" * 64, lambda name: secret)


def test_a_password_is_stored_only_as_a_hash_in_a_file_for_traefik(tmp_path: Path) -> None:
    files = worked_out(tmp_path, "{domains: [a.de], basic_auth: {secret: hello/users}}", f"ann:{HASH}")

    route, end, passwords = files.route_text("4000").partition("\n# end\n")
    assert '"usersFile": "/etc/traefik/dynamic/hello.htpasswd"' in route and HASH not in route
    assert end and passwords == f"ann:{HASH}\n# end\n"
    assert HASH not in repr(files.target)
    assert files.mask(f"said ann:{HASH} and {HASH}") == "said *** and ***"


def test_on_a_host_without_root_the_password_hash_is_in_the_route_file(tmp_path: Path) -> None:
    files = worked_out(tmp_path, "{domains: [a.de], basic_auth: {secret: hello/users}}", f"ann:{HASH}", scope="user")

    assert f'"users": ["ann:{HASH}"]' in files.route_text("4000")


def test_a_secret_that_is_not_htpasswd_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable) as refused:
        worked_out(tmp_path, "{domains: [a.de], basic_auth: {secret: hello/users}}", "ann:hunter2")

    assert str(refused.value).startswith("the secret hello/users must have name:bcrypt-hash in line 1")
    assert "hunter2" not in str(refused.value) and "htpasswd -nB" in refused.value.next_step


@pytest.mark.parametrize(
    ("health", "asked"),
    [
        ("", (None, True)),
        ("health: {healthy_within_seconds: 5}\n", (None, True)),
        ("health: {path: /up}\n", ("/up", True)),
    ],
)
def test_a_tcp_app_is_healthy_while_its_port_is_open_unless_a_path_is_written(
    health: str, asked: tuple[Any, ...], tmp_path: Path
) -> None:
    target = worked_out(tmp_path, "{tcp: {entry_point: pg}}\n" + health.rstrip()).target

    assert (target.health_path, target.port_asked) == asked
    assert target.route and target.route.entry_points == ("pg",)
