"""What somebody changed in a file of ours on a host, read before it is put back and nobody can see it any more."""

from __future__ import annotations

from reconciler.decide.serving import serving
from reconciler.errors import HostError
from reconciler.host.transport import Transport
from reconciler.model.action import AnyAction
from reconciler.model.observed import ObservedApp
from reconciler.observe.files import read_files
from reconciler.targets.file_diffs import diff, texts_of_both
from reconciler.targets.target_files import TargetFiles
from reconciler.words import printable_line

MOST_LINES = 40
LONGEST_LINE = 200


async def edited_lines(host: Transport, files: TargetFiles, app: ObservedApp, action: AnyAction) -> list[str]:
    """Return the difference between the files on the host and ours; nothing if they cannot be read now."""
    slot = serving(files.target, app) or next((slot for slot in app.slots if slot.env_keys), None)
    if slot is None:
        return []
    try:
        found = await read_files(host, files.site, action.app)
    except HostError:
        return []  # the action itself will report it
    lines = [printable_line(line)[:LONGEST_LINE] for line in diff(*texts_of_both(files, slot, found.unit, found.route))]
    more = [f"… and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return [*lines[:MOST_LINES], *more]
