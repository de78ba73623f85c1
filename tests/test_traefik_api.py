"""What Traefik's API says: routes, entry points, certificates."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.observed import AppliedRoute, Certificate
from reconciler.tools.traefik_api import read_applied, read_certificates, read_entry_points

MARKER = "hello-route-4001-abc123def456@file"


def raw(status: str = "enabled", marker: str = MARKER) -> dict[str, Any]:
    router = {"status": status, "error": ["unknown entry point"] if status != "enabled" else []}
    return {
        "routers": {"hello@file": router},
        "services": {"hello@file": {}, marker: {}, "hello-two-route-4000-aaaaaaaaaaaa@file": {}},
    }


def test_an_applied_route_is_known_by_its_marker() -> None:
    assert read_applied("hello", raw()) == AppliedRoute("4001", "abc123def456")


def test_another_attempt_at_certificates_is_the_same_route() -> None:
    assert read_applied("hello", raw(marker=MARKER.replace("@", "-1700000000@"))) == read_applied("hello", raw())


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


def test_the_marker_of_an_app_with_a_longer_name_is_not_taken() -> None:
    services: dict[str, object] = {"hello-route-route-4000-aaaaaaaaaaaa@file": {}}

    assert read_applied("hello", {"routers": {}, "services": services}) is None
    applied = read_applied("hello-route", {"routers": {}, "services": services})
    assert applied is not None and applied.slot == "4000"


def test_entry_points_are_named() -> None:
    assert read_entry_points([{"name": "websecure", "address": ":443"}, {"name": "web"}]) == ("web", "websecure")
    assert read_entry_points(None) is None


def test_certificates_are_read_with_their_end() -> None:
    answer = [
        {"sans": ["b.de", "a.de"], "notAfter": "2026-11-26T14:01:06Z", "commonName": "a.de"},
        {"sans": [], "notAfter": "2036-11-23T13:49:19Z", "commonName": "default"},
    ]

    assert read_certificates(answer) == (Certificate((), 2_111_060_959), Certificate(("a.de", "b.de"), 1_795_701_666))


@pytest.mark.parametrize("answer", [None, {}, [{"sans": ["a.de"]}], [{"notAfter": 7}], ["x"]])
def test_a_traefik_that_says_nothing_of_certificates_has_not_none(answer: object) -> None:
    assert read_certificates(answer) is None
