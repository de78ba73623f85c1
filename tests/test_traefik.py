"""The route file, and what Traefik says of it."""

from __future__ import annotations

import pytest
import yaml

from reconciler.model.observed import AppliedRoute
from reconciler.tools.traefik import RouteSettings, read_applied, read_route_head, route_text

SETTINGS = RouteSettings("hello", ("example.com", "www.example.com"), ("websecure",), True, "letsencrypt")


def test_a_route_file_names_one_slot_and_carries_its_digest() -> None:
    text = route_text(SETTINGS, "4001")

    assert read_route_head(text.splitlines()[0]) == ("4001", SETTINGS.digest("4001"))
    assert yaml.safe_load(text)["http"]["routers"] == {
        "hello": {
            "rule": "Host(`example.com`) || Host(`www.example.com`)",
            "entryPoints": ["websecure"],
            "service": "hello",
            "tls": {"certResolver": "letsencrypt"},
        }
    }


def test_the_digest_changes_with_the_slot_and_with_every_setting() -> None:
    others = [
        RouteSettings("hello", ("example.com",), ("websecure",), True, "letsencrypt"),
        RouteSettings("hello", SETTINGS.domains, ("web",), True, "letsencrypt"),
        RouteSettings("hello", SETTINGS.domains, ("websecure",), False, None),
    ]
    digests = {SETTINGS.digest("4000"), SETTINGS.digest("4001"), *(other.digest("4000") for other in others)}

    assert len(digests) == 5


def test_a_template_action_in_a_domain_is_refused_since_traefik_would_run_it() -> None:
    with pytest.raises(ValueError, match="would not read back"):
        route_text(RouteSettings("hello", ('{{ env "HOME" }}',), ("web",), False, None), "4000")


def raw(status: str = "enabled", marker: str = "hello-route-4001-abc123def456@file") -> dict[str, object]:
    return {
        "routers": {"hello@file": {"status": status, "error": ["unknown entry point"] if status != "enabled" else []}},
        "services": {"hello@file": {}, marker: {}, "hello-two-route-4000-aaaaaaaaaaaa@file": {}},
    }


def test_an_applied_route_is_known_by_its_marker() -> None:
    assert read_applied("hello", raw()) == AppliedRoute("4001", "abc123def456")


def test_a_disabled_router_is_a_problem_even_with_the_marker_there() -> None:
    assert read_applied("hello", raw("disabled")) == AppliedRoute("4001", "abc123def456", "unknown entry point")


def test_an_app_that_traefik_does_not_know_is_not_applied() -> None:
    assert read_applied("other", raw()) is None


def test_the_marker_of_an_app_with_a_longer_name_is_not_taken() -> None:
    services: dict[str, object] = {"hello-route-route-4000-aaaaaaaaaaaa@file": {}}

    assert read_applied("hello", {"routers": {}, "services": services}) is None
    applied = read_applied("hello-route", {"routers": {}, "services": services})
    assert applied is not None and applied.slot == "4000"
