"""`reconcile exec APP -- COMMAND`: run a command with the release, env, user and sandbox of the live slot."""

from __future__ import annotations

import asyncio
import shlex

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import UsageError
from reconciler.host.transport import Command
from reconciler.model.options import Options
from reconciler.tools import scripts


def run(options: Options) -> int:
    """Return the exit code of the command."""
    words = options.words[1:] if options.words[:1] == ("--",) else options.words
    if not words:
        raise UsageError("no command given", f"reconcile exec {options.app_name} -- COMMAND")
    return asyncio.run(_exec(options, shlex.join(words)))


async def _exec(options: Options, command: str) -> int:
    async with open_live_slot(options) as live:
        layout, scope = live.files.layout, live.files.site.spec.scope
        words = (layout.releases, layout.env, layout.units, live.app, live.slot.name)
        return await live.stream(Command(scripts.plain_script("exec", scope), words), command.encode())
