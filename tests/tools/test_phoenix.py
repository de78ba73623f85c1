"""A Phoenix release is known by its library, and what it will miss is said before it is rolled out."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.model.desired import App
from reconciler.tools.phoenix import warnings
from tests.support.releases import member, write_members

PHOENIX = ("bin/shop", "lib/phoenix-1.7.14", "lib/phoenix-1.7.14/ebin")
GOOD = {"SECRET_KEY_BASE": "k" * 64, "PHX_SERVER": "true", "PHX_HOST": "Shop.example.com"}


def app(env: Mapping[str, object], **keys: object) -> App:
    base = {"app": "shop", "version": "1", "artifact": {"source": "x"}, "hosts": ["web1"], "ports": [4000, 4001]}
    return App.model_validate(base | {"route": {"domains": ["shop.example.com"]}, "env": env} | keys)


def said(env: Mapping[str, object], paths: tuple[str, ...] = PHOENIX, **keys: Any) -> list[str]:
    """The variable that each warning is about."""
    known = {key: value for key, value in env.items() if isinstance(value, str)}
    return [warning.split()[0] for warning in warnings(app(env, **keys), paths, known)]


def test_a_well_configured_phoenix_app_gets_no_warning() -> None:
    assert said(dict(GOOD)) == []


def test_nothing_is_asked_of_a_release_without_phoenix() -> None:
    """A library whose name begins the same is not Phoenix."""
    assert said({}, ("bin/shop", "lib/phoenix_html-4.1.1", "lib/plug-1.16")) == []


def test_a_missing_phoenix_setting_is_named() -> None:
    assert said({}) == ["SECRET_KEY_BASE", "PHX_SERVER", "PHX_HOST"]


@pytest.mark.parametrize(
    ("changes", "keys", "expected"),
    [
        ({"SECRET_KEY_BASE": "k" * 63}, {}, ["SECRET_KEY_BASE"]),
        ({"SECRET_KEY_BASE": {"secret": "shop/key"}}, {}, []),
        ({"PHX_HOST": "www.example.com"}, {}, ["PHX_HOST"]),
        ({"PHX_SERVER": None}, {}, ["PHX_SERVER"]),
        ({"PHX_SERVER": None}, {"start": "bin/server"}, []),
        ({"PHX_SERVER": None, "PHX_HOST": None}, {"route": None, "ports": []}, []),
    ],
)
def test_each_setting_is_judged_by_itself(
    changes: dict[str, object], keys: dict[str, Any], expected: list[str]
) -> None:
    env = {key: value for key, value in (GOOD | changes).items() if value is not None}

    assert said(env, **keys) == expected


def test_a_short_key_is_never_shown() -> None:
    (warning,) = warnings(app(GOOD | {"SECRET_KEY_BASE": "sosecret"}), PHOENIX, GOOD | {"SECRET_KEY_BASE": "sosecret"})

    assert "has 8 bytes" in warning
    assert "sosecret" not in warning


def test_validate_warns_and_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The artifact beside the desired state is looked into; no host is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lib = member("lib/phoenix-1.7.14", tarfile.DIRTYPE, mode=0o755)
    write_members(tmp_path / "shop.tar.gz", [member("bin/shop", data=b"x", mode=0o755), lib])
    (tmp_path / "desired-state/apps").mkdir(parents=True)
    text = "app: shop\nversion: '1'\nartifact: {source: ../shop.tar.gz}\nhosts: [web1]\nports: [4000, 4001]\n"
    (tmp_path / "desired-state/apps/shop.yaml").write_text(text)

    assert main(["validate"]) == 0
    told = capsys.readouterr()
    assert told.out == "ok: 1 app on 1 host (files on disk)\n"
    assert [line.split()[:2] for line in told.err.splitlines()] == [
        ["shop:", "SECRET_KEY_BASE"],
        ["shop:", "PHX_SERVER"],
    ]
