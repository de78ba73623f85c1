"""A server, a cache and a memory of each test's own, and an environment without anybody's credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.artifact import download, memory, source
from tests.support.web_server import Server, web_server

_SPEAKING = ("AWS_", "GITHUB_", "GH_", "DOCKER_", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of artifacts."""
    for name in os.environ:
        if name.startswith(_SPEAKING) or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "_kept", {})
    monkeypatch.setattr(source, "_digests", {})
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0, 0.0))
    return tmp_path / "cache" / "reconcile" / "artifacts"


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as served:
        yield served


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    """Another host: it must never get a token."""
    with web_server() as served:
        yield served
