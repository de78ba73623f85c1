"""`reconcile console APP`: IEx in the node of the live slot, in this terminal."""

from __future__ import annotations

import asyncio
import sys

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import HostError
from reconciler.host.terminal import require_terminal
from reconciler.model.options import Options


def run(options: Options) -> int:
    """The exit code of the console."""
    require_terminal()
    return asyncio.run(_console(options))


async def _console(options: Options) -> int:
    async with open_live_slot(options) as place:
        node = await place.node()
        version = place.slot.running.version if place.slot.running else "?"
        where = f"{place.host.name}: {place.app} {version} in slot {place.slot.name}, node {node.name}"
        print(f"{where}. Ctrl-\\ leaves it; System.stop() would stop the app itself.", file=sys.stderr)
        try:
            return await place.host.interact(place.command(node, "remote"))
        except HostError:
            print(file=sys.stderr)  # the cursor stands behind a prompt
            raise
