"""The route file: what Traefik is told, and what is read back of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from reconciler.model.route import Route
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.traefik import read_htpasswd, read_route_head, route_text

HASH = "$2y$05$" + "a" * 53


def settings(app: str = "hello", **keys: Any) -> RouteSettings:
    route = Route.model_validate({"domains": ["example.com"]} | keys if "tcp" not in keys else keys)
    entry_point = route.tcp.entry_point if route.tcp else "websecure" if route.tls else "web"
    return RouteSettings(app, route, entry_point, "letsencrypt")


def written(settings: RouteSettings, slot: str = "4001") -> dict[str, Any]:
    """The file as Traefik reads it."""
    content: dict[str, Any] = yaml.safe_load(route_text(settings, slot))
    return content


def test_a_route_file_names_one_slot_and_carries_its_digest() -> None:
    hello = settings(domains=["example.com", "example.org"])

    text = route_text(hello, "4001")
    file = yaml.safe_load(text)

    server = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:4001"}]}}
    assert read_route_head(text.splitlines()) == ("4001", hello.digest("4001"), 0, hello.parts)
    assert file == {
        "http": {
            "routers": {
                "hello": {
                    "rule": "Host(`example.com`) || Host(`example.org`)",
                    "entryPoints": ["websecure"],
                    "service": "hello",
                    "middlewares": ["hello-hold"],
                    "tls": {
                        "certResolver": "letsencrypt",
                        "domains": [{"main": "example.com"}, {"main": "example.org"}],
                    },
                }
            },
            "middlewares": {"hello-hold": {"retry": {"attempts": 20, "initialInterval": "250ms"}}},
            "services": {"hello": server, f"hello-route-4001-{hello.digest('4001')}": server},
        }
    }


EVERY_KEY: list[dict[str, Any]] = [
    {},
    {"domains": ["example.org"]},
    {"tls": False},
    {"redirects": {"www.example.com": "example.com"}},
    {"path": "/api"},
    {"path": "/api", "strip_path": True},
    {"headers": {"request": {"X-A": "1"}}},
    {"headers": {"response": {"X-A": "1"}}},
    {"headers": {"response": {"X-A": "2"}}},
    {"allow_ips": ["10.0.0.0/8"]},
    {"compress": True},
    {"tcp": {"entry_point": "pg"}},
    {"tcp": {"entry_point": "pg", "tls": "terminate"}},
    {"tcp": {"entry_point": "pg", "tls": "passthrough"}},
    {"tcp": {"entry_point": "pg", "tls": "terminate", "domains": ["db.example.com"]}},
    {"tcp": {"entry_point": "pg"}, "allow_ips": ["10.0.0.0/8"]},
]


def test_the_digest_changes_with_the_slot_and_with_every_key() -> None:
    each = [settings(**keys) for keys in EVERY_KEY]
    each += [replace(settings(), users=(f"ann:{HASH}",)), replace(settings(), cert_resolver=None)]

    assert len({one.digest("4000") for one in each} | {settings().digest("4001")}) == len(each) + 1


def test_the_parts_change_with_every_key_so_that_a_plan_can_say_which() -> None:
    each = [settings(**keys) for keys in EVERY_KEY] + [replace(settings(), users=(f"ann:{HASH}",))]

    assert len({one.parts for one in each}) == len(each)
    assert ("domain example.com", settings().parts[0][1]) in settings().parts


@pytest.mark.parametrize("keys", EVERY_KEY)
def test_no_two_apps_get_the_same_name_in_traefik(keys: dict[str, Any]) -> None:
    """Also when one app is named as if it were a part of the other."""
    names = []
    for app in ("hello", "hello-auth", "hello-redirect", "hello-allow"):
        (content,) = written(settings(app, **keys)).values()
        for block in content:
            names += [(block, name) for name in content[block]]
            assert all(name == app or name.startswith(f"{app}-") for name in content[block])

    assert len(names) == len(set(names))


def test_a_path_is_taken_with_what_is_below_it_and_wins_over_rules_without() -> None:
    many = settings(domains=[f"site-{number}.example.com" for number in range(50)])
    router = written(settings(path="/api", strip_path=True))["http"]["routers"]["hello"]

    assert router["rule"] == "(Host(`example.com`)) && (Path(`/api`) || PathPrefix(`/api/`))"
    assert router["priority"] > len(written(many)["http"]["routers"]["hello"]["rule"])
    assert written(settings(path="/api/v1"))["http"]["routers"]["hello"]["priority"] > router["priority"]


def test_a_redirect_has_a_certificate_of_its_own_and_keeps_the_rest_of_the_address() -> None:
    file = written(settings(redirects={"www.example.com": "example.com"}))["http"]

    assert file["routers"]["hello-redirect.www.example.com"] == {
        "rule": "Host(`www.example.com`)",
        "entryPoints": ["websecure"],
        "service": "hello",
        "middlewares": ["hello-redirect.www.example.com"],
        "tls": {"certResolver": "letsencrypt"},
    }
    assert file["middlewares"]["hello-redirect.www.example.com"]["redirectRegex"] == {
        "regex": "^(https?)://[^/]+/(.*)",
        "replacement": "${1}://example.com/${2}",
        "permanent": True,
    }


def test_a_route_of_several_names_without_tls_asks_for_no_certificate() -> None:
    """Where the fleet has a resolver for its other routes."""
    plain = written(settings(domains=["example.com", "example.org"], tls=False))

    assert "tls" not in plain["http"]["routers"]["hello"]


def test_access_rules_come_before_every_other_middleware() -> None:
    every = settings(
        allow_ips=["10.0.0.0/8"], compress=True, path="/a", strip_path=True, headers={"request": {"X-A": "1"}}
    )

    middlewares = written(replace(every, users=(f"ann:{HASH}",)))["http"]["routers"]["hello"]["middlewares"]

    assert middlewares == ["hello-allow", "hello-auth", "hello-headers", "hello-compress", "hello-strip", "hello-hold"]


def test_every_header_value_survives() -> None:
    values = ['say "hi"', "100 % of $HOME", "a: b # c", "it's {a} \\ `b`", "grüße 漢字 🎉", "", "'", "- x", "<&>"]
    headers = {f"X-{number}": value for number, value in enumerate(values)}

    file = written(settings(headers={"response": headers, "request": headers}))

    expected = {"customRequestHeaders": headers, "customResponseHeaders": headers}
    assert file["http"]["middlewares"]["hello-headers"]["headers"] == expected


def test_a_template_action_is_refused_since_traefik_would_run_it() -> None:
    """The model refuses it already; whatever gets past that never becomes a file."""
    cunning = settings().route.model_copy(update={"domains": ('{{ env "HOME" }}',)})

    with pytest.raises(ValueError, match="would not read back"):
        route_text(replace(settings(), route=cunning), "4000")


def test_a_tcp_route_without_names_takes_every_connection_of_its_entry_point() -> None:
    file = written(settings(tcp={"entry_point": "pg"}, allow_ips=["10.0.0.0/8"]))["tcp"]

    assert file["routers"] == {
        "hello": {
            "rule": "HostSNI(`*`)",
            "entryPoints": ["pg"],
            "service": "hello",
            "middlewares": ["hello-allow"],
        }
    }
    assert file["middlewares"] == {"hello-allow": {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}}
    assert file["services"]["hello"] == {"loadBalancer": {"servers": [{"address": "127.0.0.1:4001"}]}}


def test_certificates_are_requested_where_traefik_terminates_tls() -> None:
    certified = [settings(**keys).certified for keys in EVERY_KEY[:4]]
    tcp = {"entry_point": "pg", "domains": ["db.example.com"]}

    assert certified == [("example.com",), ("example.org",), (), ("example.com", "www.example.com")]
    assert settings(tcp=tcp | {"tls": "terminate"}).certified == ("db.example.com",)
    assert settings(tcp=tcp | {"tls": "passthrough"}).certified == ()
    assert replace(settings(), cert_resolver=None).certified == ()


def test_another_attempt_is_the_same_route_in_a_changed_file() -> None:
    """Only the number differs, which is also in the marker that Traefik shows."""
    first, second = route_text(settings(), "4000", 1699999999), route_text(settings(), "4000", 1700000000)

    heads = [read_route_head(text.splitlines()) for text in (first, second)]
    assert [head[2] for head in heads] == [1699999999, 1700000000]
    assert heads[0][:2] == heads[1][:2] and heads[0][3:] == heads[1][3:]
    assert f"{settings().marker('4000', heads[1][1])}-1700000000" in yaml.safe_load(second)["http"]["services"]
    assert yaml.safe_load(first) != yaml.safe_load(second)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("ann:secret", "line 1"),
        (f"ann:{HASH}\nbob:$apr1$x$y", "line 2"),
        ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1"),
        (f"ann:{HASH[:-1]}", "line 1"),
        (f"ann:{HASH}\n\nann:{HASH}", "twice"),
    ],
)
def test_only_bcrypt_lines_are_accepted_and_none_is_repeated_in_errors(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        read_htpasswd(text)

    assert "secret" not in str(refused.value) and "ann" not in str(refused.value)


def test_htpasswd_lines_are_read_with_empty_lines_between_them() -> None:
    assert read_htpasswd(f"ann:{HASH}\r\n\n bob:{HASH}\n") == (f"ann:{HASH}", f"bob:{HASH}")
