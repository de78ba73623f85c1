"""`reconcile exec APP -- COMMAND`: run a command with the release, env, user and sandbox of the live slot."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys

from reconciler.commands.live_slot import LiveSlot, open_live_slot
from reconciler.errors import UsageError
from reconciler.host.terminal import has_terminal
from reconciler.host.transport import Command
from reconciler.model.options import Options
from reconciler.tools import scripts


def run(options: Options) -> int:
    """Return the exit code of the command."""
    words = options.words[1:] if options.words[:1] == ("--",) else options.words
    if not words:
        raise UsageError("no command given", f"reconcile exec {options.app_name} -- COMMAND")
    return asyncio.run(_exec(options, f"exec {shlex.join(words)}\n"))


async def _exec(options: Options, program: str) -> int:
    async with open_live_slot(options) as live:
        layout, scope = live.files.layout, live.files.site.spec.scope
        words = (layout.releases, layout.env, layout.units, live.app, live.slot.name)
        if has_terminal() and scope == "system":
            return await _exec_at_terminal(live, words, program)
        return await live.stream(Command(scripts.plain_script("exec", scope), words), program.encode())


async def _exec_at_terminal(live: LiveSlot, words: tuple[str, ...], program: str) -> int:
    """Run the program with this terminal. Its text goes ahead, since stdin is the terminal and arguments are public."""
    kept = await live.host.run(Command(scripts.plain_script("exec_keep", "system")), program.encode())
    name = kept.stdout.strip()
    if kept.status or not re.fullmatch(r"[A-Za-z0-9]{1,40}", name):
        print(f"host {live.host.name}: the command cannot be kept there: {kept.last_words}", file=sys.stderr)
        return 1
    return await live.host.interact(Command(scripts.plain_script("exec_tty", "system"), (*words, name)))
