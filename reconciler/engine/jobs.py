"""One action under way, and the question to git that must be answered before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.engine.progress import Progress
from reconciler.errors import ArtifactError, ArtifactMissing, ReconcileError, Unexpected
from reconciler.host.transport import Transport
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    Drain,
    InstallRelease,
    Soak,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.observed import ObservedApp, ObservedHost
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.target_files import TargetFiles

# Before these are put back, the log tells what somebody changed.
DRIFT_OF_FILES = ("unit", "route")
# Cancelled at once when no longer wanted. All others change the host, and are left to finish.
INTERRUPTIBLE = (WaitHealthy, Soak, Drain, ConfirmRoute, InstallRelease, WaitCertified)


class Behind(Exception):
    """git's answer before the first change: `why` our commit is older than the one on the host; None if it is not."""

    def __init__(self, commit: str | None, why: str | None) -> None:
        super().__init__(why)
        self.commit, self.why = commit, why


@dataclass(eq=False)
class Job:
    """An action under way. `seen` is the observation it was decided on."""

    files: TargetFiles
    action: AnyAction
    seen: ObservedHost
    host: Transport
    who: Controller
    asks_git: bool
    edges: Mapping[str, Transport]  # to the edges of the app, if its action is one on an app host
    task: asyncio.Task[ObservedHost] = field(init=False)
    unwanted: bool = False  # it was called off
    sent: bool = False  # the host may have been changed

    def call_off(self) -> None:
        """Mark the action as no longer wanted, and cancel it if it is interruptible."""
        self.unwanted = True
        if isinstance(self.action, INTERRUPTIBLE):
            self.task.cancel()


async def perform(job: Job, opened: OpenFleet, progress: Progress) -> ObservedHost:
    """Carry out the action; return the observation afterwards. Raises ReconcileError, or Behind before any change."""
    app = job.seen.app(job.action.app)
    if job.asks_git and opened.behind:
        raise Behind(app.commit, await opened.behind(app.commit or ""))
    from reconciler.apply.applier import Applier  # here, so that a pass with nothing to do need not load it

    edits: list[str] = []
    if job.action.drift in DRIFT_OF_FILES:
        from reconciler.engine.drift import edited_lines

        edits = await edited_lines(job.host, job.files, app, job.action)
    applier = Applier(job.host, job.files, job.who, progress.reporter(job.action.host, job.action.app), job.edges)
    with progress.action(job.action, edits, _version_served_by(job.action, app)):
        job.sent = not isinstance(job.action, InstallRelease)
        try:
            after = await applier.apply(job.action, job.seen)
        except ArtifactMissing as error:
            raise await opened.grant_grace(error, job.action.app) from None
        except ArtifactError:
            raise
        except ReconcileError:
            job.sent = True
            raise
        job.sent = True
        return after


def _version_served_by(action: AnyAction, app: ObservedApp) -> str:
    """The version that visitors get from this action on: then Traefik has its route, and the old instance only ends."""
    if not isinstance(action, ConfirmRoute) or not action.slot:
        return ""
    running = app.slot(action.slot).running
    return running.version if running else ""


def blocked_by(error: BaseException, job: Job, serving: str | None) -> Blocked:
    """Return the Blocked that a failed action leaves until the next look."""
    known = error if isinstance(error, ReconcileError) else Unexpected(error)
    reason = job.files.mask(str(known))
    where = job.action.host, job.action.app
    return Blocked(*where, reason, known.next_step or None, serving, retryable=known.retryable, kind=known.kind)
