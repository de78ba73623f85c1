"""`reconcile console APP`: open IEx in the node of the live slot, in this terminal."""

from __future__ import annotations

import asyncio
import sys

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import HostError
from reconciler.host.terminal import require_terminal
from reconciler.model.options import Options


def run(options: Options) -> int:
    """Return the exit code of the console."""
    require_terminal()
    return asyncio.run(_console(options))


async def _console(options: Options) -> int:
    async with open_live_slot(options) as live:
        node = await live.node()
        version = live.slot.running.version if live.slot.running else "?"
        where = f"{live.host.name}: {live.app} {version} in slot {live.slot.name}, node {node.name}"
        print(f"{where}. Ctrl-\\ leaves it; System.stop() would stop the app itself.", file=sys.stderr)
        try:
            return await live.host.interact(live.command(node, "remote"))
        except HostError:
            print(file=sys.stderr)  # the cursor is still on the line of the prompt
            raise
