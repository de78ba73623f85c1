"""What an artifact says about the settings of its app, before anything is sent. Hints only: they refuse nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from reconciler.artifact.archive import Prepared, load_prepared, prepare
from reconciler.artifact.source import digest_of, fetch
from reconciler.errors import ArtifactError
from reconciler.model.desired import App
from reconciler.tools import phoenix


async def advice(app: App, folder: Path, values: Mapping[str, str]) -> list[str]:
    """Lines to show. Nothing is fetched for them: the artifact lies here, or was judged before."""
    prepared = await _find_local_release(app, folder)
    paths = {entry.path for entry in prepared.entries} if prepared else set()
    return [f"{app.app}: {warning}" for warning in phoenix.warnings(app, paths, values)]


async def _find_local_release(app: App, folder: Path) -> Prepared | None:
    artifact, here = app.artifact, ":" not in app.artifact.source
    if not here and not artifact.sha256:
        return None
    try:
        digest = await digest_of(artifact.source, artifact.sha256, app.version, folder)
        ready = await asyncio.to_thread(load_prepared, digest) if digest else None
        if ready or not digest or not here:
            return ready
        path = await fetch(artifact.source, digest, app.version, folder)
        return await asyncio.to_thread(prepare, path, digest)
    except ArtifactError:  # the pass says it, with its next step
        return None
