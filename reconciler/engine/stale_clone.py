"""A desired state that is older than what a host has already changes nothing there: a stale clone never wins."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.next_action import next_action
from reconciler.desired_state.origin import Behind
from reconciler.model.action import Blocked, Converged
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Controller
from reconciler.targets.resolve import TargetFiles


async def mark_if_behind(
    files: TargetFiles, seen: ObservedHost | Unreachable, controller: Controller, behind: Behind | None
) -> TargetFiles:
    """The target, with the reason to leave it alone where the host was changed by a newer commit. Raises GitError.

    git is asked only when there is something to do, and only about what the same desired state did before.
    """
    if behind is None or controller.revision is None or isinstance(seen, Unreachable):
        return files
    app = seen.app(files.target.app)
    if app.commit in (None, controller.revision) or app.owner != controller.owner:
        return files
    if isinstance(next_action(files.target, seen), Converged | Blocked):
        return files
    return replace(files, target=replace(files.target, behind=await behind(app.commit)))
