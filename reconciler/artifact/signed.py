"""The check, before a release is installed, that the right key signed its artifact, wherever its digest comes from.

A missing signature is an error, never "unsigned is fine": the artifact is not installed.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from reconciler.artifact.cache import open_regular, wrong_digest
from reconciler.artifact.minisign import Signature, read_signature, verify
from reconciler.artifact.source import SUMS_NAME, digest_in_sums, open_store
from reconciler.artifact.spool import Limits, size_text
from reconciler.artifact.store import Store
from reconciler.errors import ArtifactMissing, ArtifactRefused

# A legacy signature covers the file itself, which must then be in memory as a whole.
_LARGEST_LEGACY: Final = 512 * 1024**2
_CHUNK: Final = 1024 * 1024


async def verify_signature(source: str, version: str, folder: Path, key: str, sha256: str, artifact: Path) -> None:
    """Raise ArtifactError unless `key` signed the artifact with this digest, or a SHA256SUMS that lists it."""
    store = open_store(source, version, folder)
    name = await store.name()
    own = f"{name}.minisig"
    if text := await store.text(own):
        signature = read_signature(text, own)
        message = await asyncio.to_thread(_message, artifact, sha256, prehashed=signature.prehashed)
        verify(signature, key, message, store.label, name)
        return
    await _verify_list(store, key, name, sha256)


async def _verify_list(store: Store, key: str, name: str, sha256: str) -> None:
    signed = f"{SUMS_NAME}.minisig"
    text, sums = await store.text(signed), await store.text(SUMS_NAME)
    if not text or sums is None:
        raise ArtifactMissing(
            f"{store.label} is not signed: there is neither {name}.minisig nor {signed} beside it",
            f"publish the .minisig that minisign -S -m {name} writes",
        )
    signature = read_signature(text, signed)
    raw = sums.encode()
    verify(signature, key, _signed_message(raw, signature), f"{SUMS_NAME} of {store.label}", SUMS_NAME)
    listed = digest_in_sums(sums, name)
    if listed != sha256:
        found = f"gives it {listed}" if listed else f"has no line for {name}"
        raise ArtifactRefused(
            f"{store.label}: the signed {SUMS_NAME} {found}, but {sha256} is expected",
            "correct artifact.sha256, or publish the artifact again, under a new version",
        )


def _signed_message(raw: bytes, signature: Signature) -> bytes:
    return hashlib.blake2b(raw).digest() if signature.prehashed else raw


def _message(artifact: Path, sha256: str, *, prehashed: bool) -> bytes:
    """Return the signed message. The file is read once, so the message belongs to the bytes with this digest."""
    largest = Limits().artifact_bytes if prehashed else _LARGEST_LEGACY
    digest, blake, pieces, size = hashlib.sha256(), hashlib.blake2b(), [], 0
    with open_regular(artifact) as file:
        while piece := file.read(_CHUNK):
            size += len(piece)
            if size > largest:
                raise ArtifactRefused(
                    f"{artifact.name} is larger than {size_text(largest)}, too large for a legacy signature",
                    "sign it with a newer minisign, which hashes first",
                )
            digest.update(piece)
            blake.update(piece)
            if not prehashed:
                pieces.append(piece)
    if digest.hexdigest() != sha256:
        raise wrong_digest(sha256, digest.hexdigest())
    return blake.digest() if prehashed else b"".join(pieces)
