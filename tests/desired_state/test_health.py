"""A health check asks as a visitor behind Traefik does, unless the app says otherwise."""

from __future__ import annotations

import pytest

from reconciler.desired_state.load import load
from reconciler.targets.health import health_headers, health_path
from tests.support.desired_folder import HELLO, problems, write

pytestmark = pytest.mark.usefixtures("in_own_folder")


def headers_of(text: str, fleet: str = "") -> dict[str, str]:
    desired = load(write({"hello": HELLO + text}, fleet=fleet))
    return dict(health_headers(desired.apps[0], desired.fleet.traefik))


def test_the_check_sends_what_traefik_sends_for_a_visitor_of_the_first_domain() -> None:
    assert headers_of("route: {domains: [shop.example.com, example.com]}\n") == {
        "Host": "shop.example.com",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": "shop.example.com",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "X-Real-Ip": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("route: {domains: [a.de], tls: false}", {"X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"}),
        ("route: {domains: [a.de], path: /api, strip_path: true}", {"X-Forwarded-Prefix": "/api"}),
        ("route: {domains: [a.de], headers: {request: {X-Tenant: b}}}", {"X-Tenant": "b"}),
        ("health: {host: b.de}\nroute: {domains: [a.de]}", {"Host": "b.de", "X-Forwarded-Host": "b.de"}),
        (
            "health: {headers: {x-forwarded-proto: http, X-Key: k}}\nroute: {domains: [a.de]}",
            {"x-forwarded-proto": "http", "X-Key": "k", "X-Forwarded-Proto": None},
        ),
        ('health: {headers: {X-Forwarded-For: ""}}\nroute: {domains: [a.de]}', {"X-Forwarded-For": None}),
        ("route: {tcp: {entry_point: db}}\nhealth: {path: /up}", {"Host": None, "X-Forwarded-Proto": None}),
        ("health: {host: 'localhost:80'}", {"Host": "localhost:80", "X-Forwarded-Proto": None}),
        ("", {"Host": None}),
    ],
)
def test_what_is_written_decides_what_the_check_sends(text: str, sent: dict[str, str | None]) -> None:
    headers = headers_of(text + "\n")

    assert {name: headers.get(name) for name in sent} == sent


def test_a_check_over_http_needs_a_path_where_visitors_do_not_speak_http() -> None:
    def path_of(text: str) -> str | None:
        return health_path(load(write({"hello": HELLO + text})).apps[0])

    assert path_of("route: {tcp: {entry_point: db}}\n") is None
    assert path_of("route: {tcp: {entry_point: db}}\nhealth: {path: /up}\n") == "/up"
    assert path_of("route: {domains: [a.de]}\n") == "/"
    assert path_of("health: {tcp: true}\n") is None
    assert path_of("route: {domains: [a.de]}\nhealth: {tcp: true, healthy_within_seconds: 9}\n") is None


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ("{host: 'http://a.de'}", "6:16  health.host: 'http://a.de' cannot be the Host of a request"),
        ('{host: "a.de\\r\\nX: y"}', "6:16  health.host: 'a.de\\r\\nX: y' cannot be the Host"),
        (
            "{headers: {Host: a.de}}",
            "6:20  health.headers.Host: has a key of its own; write health: {host: example.com}",
        ),
        ("{headers: {Transfer-Encoding: x}}", "6:20  health.headers.Transfer-Encoding: belongs to the connection"),
        ("{headers: {connection: close}}", "6:20  health.headers.connection: belongs to the connection"),
        ("{headers: {'X Y': z}}", "6:20  health.headers.X Y: 'X Y' is not the name of a header"),
        ('{headers: {X: "a\\nY: b"}}', "6:23  health.headers.X: 'a\\nY: b' cannot be the value of a header"),
        ("{tcp: true, path: /}", "6:15  health.tcp: asks for nothing but an open port; leave out path"),
        ("{headers: {X: ä}}", "6:23  health.headers.X: 'ä' cannot be the value of a header"),
        ("{headers: {X: a, x: b}}", "6:29  health.headers.x: is the same header as X"),
        (f"{{headers: {{X: {'a' * 1001}}}}}", "6:23  health.headers.X: is 1001 characters long"),
        (
            "{headers: {" + ", ".join(f"X{number}: a" for number in range(21)) + "}}",
            "6:19  health.headers: has 21 headers (at most 20)",
        ),
    ],
)
def test_what_no_request_may_carry_is_refused(health: str, problem: str) -> None:
    (found,) = problems({"hello": HELLO + f"health: {health}\n"})

    assert found.startswith(f"apps/hello.yaml:{problem}")
