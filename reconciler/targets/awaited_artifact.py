"""The grace period for an artifact that does not exist yet: CI may still be building it.

The period starts at the newest commit that changed the app's file, read from git. Nothing is remembered.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler.clock import epoch_seconds
from reconciler.desired_state.environments import environment_file
from reconciler.desired_state.git.ask import ask_git
from reconciler.desired_state.git.commit import find_repository
from reconciler.errors import ArtifactAwaited, ArtifactMissing
from reconciler.model.desired import Desired

GRACE_SECONDS: Final = 30 * 60
_CLOCKS_DIFFER_SECONDS: Final = 300  # a commit dated further in the future has a wrong date, so it gets no grace


async def grant_grace(error: ArtifactMissing, desired: Desired, app: str) -> ArtifactMissing:
    """Return ArtifactAwaited while the grace period lasts, else `error` itself."""
    since = await _read_request_time(desired, app)
    if since is None or not -_CLOCKS_DIFFER_SECONDS <= epoch_seconds() - since < GRACE_SECONDS:
        return error
    at = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
    return ArtifactAwaited(
        f"waiting for the artifact since {at}, grace {GRACE_SECONDS // 60} min: {error}",
        error.next_step and f"nothing, if it is on its way; else {error.next_step}",
    )


async def _read_request_time(desired: Desired, app: str) -> float | None:
    """The time in epoch seconds at which what asks for the app was last changed; None if it is not known."""
    names = [f"apps/{app}.yaml"] + [environment_file(desired.environment)] * bool(desired.environment)
    times = [await _read_change_time(desired, name) for name in names]
    return max((time for time in times if time is not None), default=None)


async def _read_change_time(desired: Desired, name: str) -> float | None:
    if desired.revision is None:
        return _read_file_time(desired.folder / name)
    if desired.mirror:
        return await _read_commit_time(desired.mirror, desired.revision, f"{desired.inside}/{name}")
    repository = find_repository(desired.folder)
    if repository is None:
        return None
    return await _read_commit_time(
        repository, desired.revision, str((desired.folder.resolve() / name).relative_to(repository))
    )


async def _read_commit_time(repository: Path, revision: str, name: str) -> float | None:
    options = ("--max-count=1", "--format=%ct", "--no-show-signature", "--end-of-options", revision)
    answer = await ask_git("log", *options, "--", f":(top,literal){name}", folder=repository)
    text = answer.output.decode("ascii", "replace").strip()
    return float(text) if answer.code == 0 and re.fullmatch(r"[0-9]{1,12}", text) else None


def _read_file_time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
