"""Tell what somebody changed in a file of ours on a host, before it is put back and nobody can see it any more."""

from __future__ import annotations

from reconciler.decide.serving import serving
from reconciler.engine.progress import Progress
from reconciler.errors import HostError
from reconciler.host.transport import Transport
from reconciler.model.action import AnyAction
from reconciler.model.observed import ObservedApp
from reconciler.observe.files import read_files
from reconciler.targets.file_diffs import diff, texts_of_both
from reconciler.targets.resolve import TargetFiles
from reconciler.words import printable_line

MOST_LINES = 40
LONGEST_LINE = 200


async def tell_drift(
    host: Transport, files: TargetFiles, app: ObservedApp, action: AnyAction, progress: Progress
) -> None:
    """Log the difference between the files on the host and ours. If they cannot be read now, say nothing."""
    slot = serving(files.target, app) or next((slot for slot in app.slots if slot.env_keys), None)
    if slot is None:
        return
    try:
        found = await read_files(host, files.site, action.app)
    except HostError:
        return  # the action itself will report it
    lines = [printable_line(line)[:LONGEST_LINE] for line in diff(*texts_of_both(files, slot, found.unit, found.route))]
    if lines:
        more = [f"… and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
        progress.tell("drift.found", host=action.host, app=action.app, diff=[*lines[:MOST_LINES], *more])
