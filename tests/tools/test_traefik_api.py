"""What Traefik's API says: routes, entry points, certificates."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.observed import AppliedRoute, Certificate
from reconciler.tools.traefik_api import (
    NotTraefiks,
    is_served,
    missing_routes,
    read_applied,
    read_certificates,
    read_entry_points,
    read_rawdata,
    route_held_by_all,
)

MARKER = "hello-route-4001-abc123def456@file"


def raw(status: str = "enabled", marker: str = MARKER) -> dict[str, Any]:
    router = {"status": status, "error": ["unknown entry point"] if status != "enabled" else []}
    return {
        "routers": {"hello@file": router},
        "services": {"hello@file": {}, marker: {}, "hello-two-route-4000-aaaaaaaaaaaa@file": {}},
    }


def test_an_applied_route_is_known_by_its_marker() -> None:
    assert read_applied("hello", raw()) == AppliedRoute("4001", "abc123def456")


def test_an_earlier_file_with_the_same_route_does_not_count_as_applied() -> None:
    """Each write of a file has a number, which its marker bears."""
    applied = read_applied("hello", raw(marker=MARKER.replace("@", "-1700000000@")))

    assert applied == AppliedRoute("4001", "abc123def456", attempt=1700000000)
    assert is_served(applied, "abc123def456", 1700000000)
    assert not is_served(applied, "abc123def456", 1700000001)
    assert is_served(read_applied("hello", raw()), "abc123def456")  # written by an earlier version of reconcile


def test_a_tcp_route_is_known_by_its_marker_too() -> None:
    tcp = {"tcpRouters": {"hello@file": {"status": "enabled"}}, "tcpServices": {"hello@file": {}, MARKER: {}}}

    assert read_applied("hello", tcp | {"routers": {}, "services": {}}) == AppliedRoute("4001", "abc123def456")


@pytest.mark.parametrize("status", ["disabled", "warning"])
def test_a_router_that_is_not_enabled_is_a_problem_even_with_the_marker_there(status: str) -> None:
    assert read_applied("hello", raw(status)) == AppliedRoute("4001", "abc123def456", "unknown entry point")


def test_a_redirect_that_is_not_enabled_is_a_problem_of_its_app_alone() -> None:
    both = raw()
    both["routers"]["hello-redirect.www.example.com@file"] = {"status": "disabled", "error": ["invalid regex"]}
    both["routers"]["hello-redirect@file"] = {"status": "disabled", "error": ["another app"]}

    assert read_applied("hello", both) == AppliedRoute("4001", "abc123def456", "invalid regex")


def test_a_middleware_that_is_not_enabled_is_a_problem_said_once() -> None:
    """Traefik names its error at each router that it is part of, too."""
    broken = raw("disabled")
    broken["routers"]["hello@file"] |= {"middlewares": ["hello-allow@file"], "error": ["cannot parse CIDRs"]}
    broken["middlewares"] = {"hello-allow@file": {"status": "disabled", "error": ["cannot parse CIDRs", "unused"]}}

    assert read_applied("hello", broken) == AppliedRoute("4001", "abc123def456", "cannot parse CIDRs; unused")


def test_an_app_that_traefik_does_not_know_is_not_applied() -> None:
    assert read_applied("other", raw()) is None


def test_the_marker_of_an_app_with_a_longer_name_is_ignored() -> None:
    services: dict[str, object] = {"hello-route-route-4000-aaaaaaaaaaaa@file": {}}

    assert read_applied("hello", {"routers": {}, "services": services}) is None
    applied = read_applied("hello-route", {"routers": {}, "services": services})
    assert applied is not None and applied.slot == "4000"


def test_entry_points_are_named() -> None:
    assert read_entry_points(b'[{"name": "websecure", "address": ":443"}, {"name": "web"}]') == ("web", "websecure")


def test_certificates_are_read_with_their_end() -> None:
    answer = [
        {"sans": ["b.de", "a.de"], "notAfter": "2026-11-26T14:01:06Z", "commonName": "a.de"},
        {"sans": [], "notAfter": "2036-11-23T13:49:19Z", "commonName": "default"},
    ]

    found = (Certificate((), 2_111_060_959), Certificate(("a.de", "b.de"), 1_795_701_666))
    assert read_certificates(json.dumps(answer).encode()) == found


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "{}",
        '["x"]',
        '[{"sans": ["a.de"]}]',
        '[{"notAfter": 7}]',
        '[{"notAfter": "soon"}]',
        '[{"notAfter": "2026-11-26T14:01:06Z", "sans": "a.de"}]',
        '[{"notAfter": "2026-11-26T14:01:06Z", "sans": [7]}]',
        "[" * 100_000,
    ],
)
def test_a_malformed_list_of_certificates_is_no_answer(answer: str) -> None:
    with pytest.raises(NotTraefiks):
        read_certificates(answer.encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"null",
        b"7",
        b"[]",
        b'"routers"',
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"routers": 5}',
        b'{"routers": ["hello@file"]}',
        b'{"routers": {"hello@file": 5}}',
        b'{"routers": {"hello@file": {"error": "x"}}}',
        b'{"routers": {"hello@file": {"error": [5]}}}',
        b'{"routers": {"hello@file": {"middlewares": {"x": 1}}}}',
        b'{"services": "hello@file"}',
        b'{"tcpMiddlewares": [[]]}',
    ],
)
def test_malformed_raw_data_is_no_answer(answer: bytes) -> None:
    """As of a program that listens where Traefik would."""
    with pytest.raises(NotTraefiks):
        read_rawdata(answer)


def test_error_texts_of_traefik_stay_on_one_line() -> None:
    """They repeat what somebody wrote into a route."""
    said = raw("disabled") | {"middlewares": None}
    said["routers"]["hello@file"]["error"] = ["\x1b[2J" + "x" * 1000 + "\n"]

    applied = read_applied("hello", read_rawdata(json.dumps(said).encode()))

    assert applied is not None and applied.problem == "\\x1b[2J" + "x" * 293 + "…"


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["enabled", "hello@file", MARKER]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["routers", "services", "middlewares", "hello@file", "status", "error", MARKER, "tcpRouters"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_arbitrary_json_is_either_usable_or_no_answer(answer: object) -> None:
    body = json.dumps(answer).encode()
    for read in (read_certificates, read_entry_points):
        with contextlib.suppress(NotTraefiks):
            read(body)
    try:
        data = read_rawdata(body)
    except NotTraefiks:
        return

    route_held_by_all("hello", [data], "abc123def456")
    missing_routes(("hello-route-4001-abc123def456",), data, data)
