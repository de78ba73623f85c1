"""Hints about the settings of an app, from its artifact, before anything is sent. They never refuse anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from reconciler.artifact.archive import Prepared, load_prepared, prepare
from reconciler.artifact.source import digest_of, fetch
from reconciler.errors import ArtifactError
from reconciler.model.desired import App
from reconciler.tools import phoenix, sandbox_hints


async def advice(app: App, folder: Path, values: Mapping[str, str]) -> list[str]:
    """Return lines to show. Downloads nothing: the artifact is a local file or was prepared before."""
    prepared = await _find_local_release(app, folder)
    paths = {entry.path for entry in prepared.entries} if prepared else set()
    found = (*phoenix.warnings(app, paths, values), *sandbox_hints.warnings(app, paths))
    return [f"{app.app}: {warning}" for warning in found]


async def _find_local_release(app: App, folder: Path) -> Prepared | None:
    artifact = next(iter(app.artifact.by_arch.values()), app.artifact)
    here = ":" not in artifact.source
    if not here and not artifact.digest:
        return None
    try:
        digest = await digest_of(artifact.source, artifact.digest, app.version, folder)
        ready = await asyncio.to_thread(load_prepared, digest) if digest else None
        if ready or not digest or not here:
            return ready
        path = await fetch(artifact.source, digest, app.version, folder)
        return await asyncio.to_thread(prepare, path, digest)
    except ArtifactError:  # a pass reports it, with its next step
        return None
