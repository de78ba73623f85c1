"""The digest of an app's artifact, asked before any host is: it names the release. Or that for each architecture."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from reconciler.artifact.source import digest_of
from reconciler.errors import ArtifactAwaited, ArtifactError, ArtifactMissing, ArtifactUnavailable, ReconcileError
from reconciler.model.desired import App, Artifact, Desired
from reconciler.model.source import MACHINES
from reconciler.model.target import Target
from reconciler.tools.release import release_id

OneFound = str | ReconcileError
"""A digest, or why it is not known."""
Found = OneFound | dict[str, OneFound]
"""The same of an app's artifact, or for each architecture if they have different ones."""


async def find_digest(app: App, desired: Desired) -> Found:
    """Return the digest that the app's artifact must have, or the error that says why it is not known."""
    if not (artifacts := app.artifact.by_arch):
        return await _find_one(app, app.artifact, desired)
    results = await asyncio.gather(*(_find_one(app, artifact, desired) for artifact in artifacts.values()))
    return dict(zip(artifacts, results, strict=True))


def raise_refusal(found: Found) -> None:
    """Raise the error that says why the app has no artifact that can be used, now or later."""
    results = list(found.values()) if isinstance(found, dict) else [found]
    refusals = [each for each in results if isinstance(each, ReconcileError)]
    if len(refusals) == len(results) and not any(isinstance(each, ArtifactUnavailable) for each in refusals):
        raise refusals[0]


def with_artifact(target: Target, found: Found) -> Target:
    """Return the target with the release that this digest names, or with the reason why there is none.

    If each architecture has its own, the target itself stands for a host of none of these.
    """
    if not isinstance(found, dict):
        return _with_one(target, found)
    kinds = " and ".join(MACHINES)
    missing = f"the artifact is for {kinds}, and the processor of the host is of neither kind, or unknown"
    by_arch = {arch: _with_one(target, result) for arch, result in found.items()}
    return replace(target, by_arch=by_arch, missing=missing, missing_next="see uname -m on the host")


def _with_one(target: Target, found: OneFound) -> Target:
    if isinstance(found, str):
        return replace(target, release=release_id(target.version, found))
    missing = str(found)
    if not isinstance(found, ArtifactAwaited):
        missing = f"the artifact of version {target.version} is not available: {found}"
    later = isinstance(found, ArtifactUnavailable)
    return replace(
        target, missing=missing, missing_next=found.next_step or None, missing_kind=found.kind, comes_later=later
    )


async def _find_one(app: App, artifact: Artifact, desired: Desired) -> OneFound:
    from reconciler.targets.awaited_artifact import grant_grace

    try:
        return await digest_of(artifact.source, artifact.digest, app.version, desired.folder)
    except ArtifactMissing as error:
        return await grant_grace(error, desired, app.app)
    except ArtifactError as error:
        return error
