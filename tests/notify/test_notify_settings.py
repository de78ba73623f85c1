"""notify/settings.py: what can be written under `notify:`, and what is refused: with its place, no value repeated."""

from __future__ import annotations

import pytest
from pydantic import Field

from reconciler.desired_state.problems import fill
from reconciler.desired_state.yaml_text import read_yaml
from reconciler.model.machine import Strict
from reconciler.model.notify import Notify


class Fleet(Strict):
    """A stand-in for fleet.yaml."""

    notify: tuple[Notify, ...] = Field(default=(), description="Who is told.")


def load(text: str) -> tuple[Fleet | None, list[str]]:
    document = read_yaml(text.encode(), "fleet.yaml")
    filled, found = fill(Fleet, document, document.value)
    return filled, [str(each) for each in found]


def test_every_kind_of_channel_is_accepted() -> None:
    filled, found = load(
        """
notify:
  - {kind: slack, url: {secret: notify/slack}, events: [failed]}
  - {kind: webhook, url: https://ops.example.com:8443/hook, key: {secret: notify/key}}
  - {kind: ntfy, url: {secret: notify/ntfy}}
  - {kind: ntfy, url: https://ntfy.example.com/fleet, token: {secret: notify/token}, events: [failed, converged]}
  - {kind: github, repository: you/fleet.git-ops, token: {secret: github}, deployments: true}
  - {kind: github, repository: you/fleet, token: {secret: github}, api: https://github.example.com/api/v3}
  - {kind: grafana, url: https://grafana.example.com/grafana, token: {secret: grafana}}
"""
    )

    assert found == []
    assert filled
    assert [each.kind for each in filled.notify] == ["slack", "webhook", "ntfy", "ntfy", "github", "github", "grafana"]
    assert filled.notify[1].events == ("failed", "recovered")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("kind: pager", "must be 'webhook', 'slack', 'ntfy', 'github' or 'grafana'"),
        ("kind: slack", "slack needs url"),
        ("kind: grafana, url: https://g", "grafana needs token"),
        ("kind: grafana, url: https://g, token: {secret: t}, events: [failed]", "is not for grafana"),
        ("kind: grafana, url: http://g, token: {secret: t}", "is not an https:// address"),
        ("kind: slack, url: ", "has no value"),
        ("kind: slack, url: https://hooks.slack.com/services/T/B/Hush", "as secret as a password here; write {secret:"),
        ("kind: ntfy, url: https://ntfy.sh/Hush", "is as secret as a password here"),
        ("kind: webhook, url: https://h/x, key: Hush", "must be a block of keys"),
        ("kind: webhook, url: https://h/x", "webhook needs key"),
        ("kind: webhook, url: http://h/Hush, key: {secret: k}", "is not an https:// address"),
        ("kind: webhook, url: https://me:Hush@h/x, key: {secret: k}", "contains a login"),
        ("kind: webhook, url: https://h/x?token=Hush, key: {secret: k}", "has a part after ? or #"),
        ("kind: webhook, url: {secret: Hush Hush}, key: {secret: k}", "is not the name of a secret"),
        ("kind: github, repository: you/.., token: {secret: t}", "is not a repository on GitHub"),
        ("kind: github, repository: you, token: {secret: t}", "is not a repository on GitHub"),
        ("kind: github, repository: you/x, token: {secret: t}, events: [failed]", "is not for github; github takes"),
        ("kind: slack, url: {secret: u}, events: []", "is an empty list"),
        ("kind: slack, url: {secret: u}, events: [failed, failed]", "is listed twice"),
        ("kind: slack, url: {secret: u}, events: [drifted]", "must be 'failed', 'recovered' or 'converged'"),
        ("kind: slack, url: {secret: u}, key: {secret: k}", "is not for slack"),
        ("kind: slack, url: {secret: u}, colour: red", "is not a key"),
        ("kind: slack, url: {secret: u}, deployments: yes", "neither true nor false"),
    ],
)  # fmt: skip
def test_invalid_settings_are_refused_with_their_place(written: str, said: str) -> None:
    filled, found = load(f"notify:\n  - {{{written}}}\n")

    assert filled is None
    assert len(found) == 1
    assert found[0].startswith("fleet.yaml:2:")
    assert "notify[0]" in found[0]
    assert said in found[0]
    assert "Hush" not in found[0]


def test_settings_are_frozen_and_every_key_is_described() -> None:
    schema = Fleet.model_json_schema()

    for block in schema["$defs"].values():
        assert block["description"]
        assert [name for name, key in block["properties"].items() if not key.get("description")] == []
    with pytest.raises(ValueError, match="frozen"):
        setattr(Notify.model_validate({"kind": "slack", "url": {"secret": "u"}}), "kind", "ntfy")  # noqa: B010
