"""`reconcile` without a command: a pass at once, on every change of the folder or its repository, and on a timer."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from reconciler.commands.once import one_pass
from reconciler.errors import ReconcileError
from reconciler.loop import changes
from reconciler.session import session


def run(args: argparse.Namespace) -> int:
    """Runs until it is stopped; a pass that fails is told and tried again at the next reason to look."""
    return asyncio.run(_watch(args))


async def _watch(args: argparse.Namespace) -> int:
    async for _ in changes(*_places(args.desired_state), every_seconds=args.interval):
        try:
            async with session(args) as opened:
                await one_pass(opened, args)
        except ReconcileError as error:
            print(error, file=sys.stderr)
            print(f"next: {error.next_step}", file=sys.stderr)
    return 0


def _places(folder: Path) -> list[Path]:
    """The folder, and the repository it lies in: a commit shows there."""
    parents = (folder.resolve(), *folder.resolve().parents)
    return [folder, *(each / ".git" for each in parents if (each / ".git").is_dir())][:2]
