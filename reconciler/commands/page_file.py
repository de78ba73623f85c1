"""`reconcile status --html FILE`: the page as one file, for CI and for a mail."""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.page_source import CommitBook, read_past, snapshot_of_preview
from reconciler.engine.preview import Preview
from reconciler.errors import UsageError
from reconciler.files import write_whole
from reconciler.model.observed import Unreachable
from reconciler.model.options import Options
from reconciler.page.index import Index
from reconciler.page.render import render_file
from reconciler.targets.open_fleet import OpenFleet


async def write_page(path: Path, opened: OpenFleet, shown: Preview, options: Options) -> None:
    """Write what was seen as one HTML file, atomically. Raises UsageError if it cannot be written."""
    book = CommitBook()
    await book.learn(opened.desired)
    past = await read_past(opened, [host for host, look in shown.hosts.items() if isinstance(look, Unreachable)])
    snapshot = snapshot_of_preview(opened, shown, book, past, "file", allow_prune=options.allow_prune)
    try:
        write_whole(path, render_file(Index(snapshot)).encode())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "make its folder, or name another file"
        ) from error
