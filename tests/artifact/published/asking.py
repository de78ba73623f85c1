"""Helpers that ask for an app's artifact and return the refusal."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from reconciler.artifact.source import digest_of, fetch, public_address
from reconciler.errors import ArtifactError, ArtifactMissing, ArtifactRefused

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def asked_digest(source: str, version: str = "1.0") -> str:
    return asyncio.run(digest_of(source, None, version, Path("/nowhere")))


def fetched(source: str, sha256: str = SHA256, version: str = "1.0") -> bytes:
    return asyncio.run(fetch(source, sha256, version, Path("/nowhere"))).read_bytes()


def asked_address(source: str) -> str:
    """Where a host shall read the artifact, or why it cannot."""
    try:
        return asyncio.run(public_address(source, "1.0", Path("/nowhere")))
    except ArtifactRefused as error:
        assert error.next_step == "leave out fetch: host, so that reconcile uploads it"
        return str(error)


def refusal(error: type[ArtifactError], source: str, *, digest: bool = False) -> str:
    """What is said when the digest is asked for, or else the artifact."""
    with pytest.raises(error) as caught:
        asked_digest(source) if digest else fetched(source)
    assert isinstance(caught.value, ArtifactMissing) is (error is ArtifactMissing)
    assert caught.value.next_step
    return str(caught.value)
