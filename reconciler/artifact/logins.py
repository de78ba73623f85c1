"""Logins for registries, as `docker login` and `podman login` store them: in a file, or in DOCKER_AUTH_CONFIG."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.artifact.download import basic_authorization
from reconciler.errors import ArtifactRefused


def login_of(registry: str) -> str:
    """Return the Authorization for this registry (`host[:port]`), or "" when none is known."""
    for where, text in _configs():
        try:
            auths = json.loads(text).get("auths") or {}
            entries = [entry for name, entry in auths.items() if _host(name) == registry]
            login = next((found for found in map(_login, entries) if found), "")
        except (ValueError, AttributeError, TypeError, RecursionError, binascii.Error):
            # Quote neither the text nor Python's error: both can contain the password.
            raise ArtifactRefused(f"{where} is not a valid docker config", "log in again, or correct it") from None
        if login:
            return login
    return ""


def _configs() -> Iterator[tuple[str, str]]:
    if given := os.environ.get("DOCKER_AUTH_CONFIG"):
        yield "DOCKER_AUTH_CONFIG", given
    for path in _files():
        try:
            yield str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def _files() -> Iterator[Path]:
    if stated := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(stated)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    if stated := os.environ.get("DOCKER_CONFIG"):
        yield Path(stated) / "config.json"
    elif home := os.environ.get("HOME"):
        yield Path(home) / ".docker" / "config.json"


def _host(name: str) -> str:
    """Return the host of an entry's name: https://index.docker.io/v1/ → index.docker.io."""
    host = name.partition("://")[2] if "://" in name else name
    return host.partition("/")[0]


def _login(entry: dict[str, str]) -> str:
    if "auth" in entry:
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    else:
        user, password = entry.get("username", ""), entry.get("password", "")
    password = password.rstrip("\0")
    return basic_authorization(user, password) if user and password else ""
