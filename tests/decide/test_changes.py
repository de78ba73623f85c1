"""What people changed between two desired states, told key by key, and never a value that is nobody else's business."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.decide.changes import Change, changes
from reconciler.model.desired import App, Desired, Fleet
from tests.decide.test_fleet import app

NO_SECRETS: Mapping[str, str] = {}


def shop(**keys: Any) -> App:
    return app("shop", ["web1"], **keys)


def desired(*apps: App, **fleet: Any) -> Desired:
    return Desired(Fleet.model_validate(fleet), apps, None, Path())


def told(
    before: Desired,
    after: Desired,
    sealed_before: Mapping[str, str] = NO_SECRETS,
    sealed_after: Mapping[str, str] = NO_SECRETS,
) -> list[str]:
    """What is said of each change, after the app's name."""
    return [f"{each.app}: {each.text}" for each in changes(before, after, sealed_before, sealed_after)]


def of_shop(before: dict[str, Any], after: dict[str, Any], **sealed: Mapping[str, str]) -> list[str]:
    """What is said of the one app that both have."""
    texts = told(desired(shop(**before)), desired(shop(**after)), **sealed)
    assert all(text.startswith("shop: ") for text in texts)
    return [text.removeprefix("shop: ") for text in texts]


def test_nothing_is_said_of_what_is_the_same() -> None:
    assert (
        told(
            desired(shop(), hosts={"web1": {"address": "192.0.2.1"}}),
            desired(shop(), hosts={"web1": {"address": "192.0.2.1"}}),
        )
        == []
    )


def test_an_app_comes_and_goes_as_a_whole() -> None:
    """In the order of their names, with the version and the hosts."""
    before, after = desired(shop(version="1.4.1")), desired(app("api", ["web1", "web2"], version="2"))

    assert told(before, after) == ["api: app added: 2 on web1, web2", "shop: app removed: 1.4.1 on web1"]


def test_the_fleet_comes_first() -> None:
    before = desired(shop(version="1"), hosts={"web1": {"address": "192.0.2.1", "port": 22}})
    after = desired(shop(version="2"), hosts={"web1": {"address": "192.0.2.1", "port": 2222}})

    found = changes(before, after, NO_SECRETS, NO_SECRETS)

    assert next((each.app, each.key, each.how) for each in found) == ("", "host web1 port", "changed")
    assert "shop" in {each.app for each in found[1:]}


def test_a_changed_value_is_shown_with_the_one_before() -> None:
    assert of_shop({"drain_seconds": 5}, {"drain_seconds": 9}) == ["drain_seconds 5 → 9"]


def test_keys_are_told_in_the_order_in_which_people_read_them() -> None:
    """What decides most comes first, the rest by name."""
    before = {"version": "1", "drain_seconds": 5, "stop_seconds": 20, "ports": [4000, 4001]}
    after = {"version": "2", "drain_seconds": 6, "stop_seconds": 30, "ports": [4002, 4003]}

    keys = [each.key for each in changes(desired(shop(**before)), desired(shop(**after)), NO_SECRETS, NO_SECRETS)]

    assert [key for key in keys if not key.startswith("artifact")] == [
        "version",
        "ports",
        "drain_seconds",
        "stop_seconds",
    ]


def test_values_of_variables_are_never_shown() -> None:
    before = {"env": {"GREETING": "hello", "OLD": "x", "SAME": "s"}}
    after = {"env": {"GREETING": "hi", "NEW": "y", "SAME": "s"}}

    assert of_shop(before, after) == ["env GREETING changed", "env NEW added", "env OLD removed"]


def test_a_variable_that_becomes_a_secret_is_told_by_the_name_of_the_secret() -> None:
    changed = of_shop({"env": {"TOKEN": "x"}}, {"env": {"TOKEN": {"secret": "shop/token"}}})

    assert changed == [
        "env TOKEN changed: secret shop/token",
        "secret shop/token added: not in the repository: the controller must know it",
    ]


def test_a_whole_block_is_one_change_with_what_tells_most() -> None:
    route = {"domains": ["shop.example.com"], "compress": True}

    assert of_shop({}, {"route": route}) == ["route added: shop.example.com"]
    assert of_shop({"route": route}, {}) == ["route removed: shop.example.com"]


def test_a_process_and_a_job_are_told_by_name() -> None:
    mailer, nightly = {"start": "bin/mailer"}, {"run": "bin/nightly", "at": "03:00 UTC"}

    assert of_shop({}, {"processes": {"mailer": mailer}}) == ["process mailer added: bin/mailer"]
    assert of_shop({"jobs": {"nightly": nightly}}, {}) == ["job nightly removed: bin/nightly"]
    assert of_shop({"jobs": {"nightly": nightly}}, {"jobs": {"nightly": {**nightly, "at": "04:00 UTC"}}}) == [
        "job nightly at 03:00 UTC → 04:00 UTC"
    ]


def test_a_variable_of_a_process_is_told_without_its_value() -> None:
    before = {"processes": {"mailer": {"start": "bin/m", "env": {"POOL": "1"}}}}
    after = {"processes": {"mailer": {"start": "bin/m", "env": {"POOL": "2"}}}}

    assert of_shop(before, after) == ["process mailer env POOL changed"]


def test_a_hook_is_called_a_hook() -> None:
    assert of_shop({"after_rollout": "bin/warm"}, {"after_rollout": "bin/warmer"}) == [
        "hook after_rollout bin/warm → bin/warmer"
    ]


def test_a_channel_of_notify_is_never_shown() -> None:
    """Its address often contains a token."""
    channel = {"kind": "webhook", "url": "https://hooks.example.com/T0KEN", "key": {"secret": "hook"}}

    texts = told(desired(shop()), desired(shop(), notify=[channel]))

    assert texts
    assert not [text for text in texts if "T0KEN" in text]


def test_a_secret_is_told_when_its_ciphertext_changes_or_goes() -> None:
    keys = {"env": {"TOKEN": {"secret": "token"}}}

    again = of_shop(keys, keys, sealed_before={"token": "d1"}, sealed_after={"token": "d2"})
    gone = of_shop(keys, keys, sealed_before={"token": "d1"}, sealed_after={"token": ""})

    assert again == ["secret token changed: encrypted again: a new value, or the same for other keys"]
    assert gone == ["secret token changed: no longer in the repository"]
    assert of_shop(keys, keys, sealed_before={"token": "d1"}, sealed_after={"token": "d1"}) == []


def test_a_new_secret_says_where_it_comes_from() -> None:
    keys = {"env": {"TOKEN": {"secret": "token"}}}

    assert of_shop({}, keys, sealed_after={"token": "d1"})[-1] == "secret token added: encrypted in the repository"


def test_a_long_value_is_cut_and_a_hostile_one_made_printable() -> None:
    (change,) = changes(
        desired(shop(start="bin/" + "a" * 300)), desired(shop(start="bin/x \u202e y")), NO_SECRETS, NO_SECRETS
    )

    assert len(change.before) <= 81  # with the mark of what was cut
    assert "\u202e" not in change.after


def test_an_empty_value_is_shown_as_one() -> None:
    assert Change("shop", "start", "changed", "a", "").text == "start changed: a"
    assert Change("shop", "start", "added").text == "start added"
