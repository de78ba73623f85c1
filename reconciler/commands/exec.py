"""`reconcile exec APP -- COMMAND`: with the release, the env, the user and the sandbox of the live slot."""

from __future__ import annotations

import asyncio
import shlex

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import UsageError
from reconciler.host.transport import Command
from reconciler.model.options import Options
from reconciler.tools import scripts


def run(options: Options) -> int:
    """The command's own exit code."""
    words = options.words[1:] if options.words[:1] == ("--",) else options.words
    if not words:
        raise UsageError("nothing to run", f"reconcile exec {options.app_name} -- COMMAND")
    return asyncio.run(_exec(options, shlex.join(words)))


async def _exec(options: Options, command: str) -> int:
    async with open_live_slot(options) as place:
        layout, scope = place.files.layout, place.files.site.spec.scope
        words = (layout.releases, layout.env, layout.units, place.app, place.slot.name)
        return await place.stream(Command(scripts.plain_script("exec", scope), words), command.encode())
