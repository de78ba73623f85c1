"""`reconcile exec APP -- COMMAND`: run a command with the release, env, user and sandbox of the live slot.

With `--candidate` it is the release and the env that are wanted, whether they run yet or not.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import sys

from reconciler.commands.candidate import Candidate, open_candidate
from reconciler.commands.live_slot import LiveSlot, open_live_slot
from reconciler.errors import UsageError
from reconciler.host.terminal import has_terminal
from reconciler.host.transport import Command
from reconciler.model.options import Options
from reconciler.tools import scripts

_CANDIDATE = "--candidate"


def run(options: Options) -> int:
    """Return the exit code of the command."""
    words, candidate = options.words, options.candidate
    if words[:1] == (_CANDIDATE,):  # behind the app's name
        words, candidate = words[1:], True
    words = words[1:] if words[:1] == ("--",) else words
    if not words:
        raise UsageError("no command given", f"reconcile exec {options.app_name} -- COMMAND")
    program = f"exec {shlex.join(words)}\n"
    return asyncio.run(_exec_candidate(options, program) if candidate else _exec(options, program))


async def _exec(options: Options, program: str) -> int:
    async with open_live_slot(options) as live:
        layout, scope = live.files.layout, live.files.site.spec.scope
        words = (layout.releases, layout.env, layout.units, live.app, live.slot.name)
        if has_terminal() and scope == "system":
            return await _exec_at_terminal(live, words, program)
        none = ("-",) if scope == "user" else ()
        return await live.stream(Command(scripts.plain_script("exec", scope), (*words, *none)), program.encode())


async def _exec_at_terminal(live: LiveSlot, words: tuple[str, ...], program: str) -> int:
    """Run the program with this terminal. Its text goes ahead, since stdin is the terminal and arguments are public."""
    name = await _keep(live, Command(scripts.plain_script("exec_keep", "system")), program.encode())
    return await live.host.interact(Command(scripts.plain_script("exec_tty", "system"), (*words, name))) if name else 1


async def _exec_candidate(options: Options, program: str) -> int:
    async with open_candidate(options) as candidate:
        layout, scope, app = candidate.files.layout, candidate.files.site.spec.scope, candidate.app
        stdin, release = candidate.tar(program), candidate.release
        if scope == "user":
            slot = candidate.files.target.slots[0]
            whole = Command(
                scripts.plain_script("exec", scope), (layout.releases, layout.env, layout.units, app, slot, release)
            )
            return await candidate.stream(whole, stdin)
        name = await _keep(candidate, Command(scripts.plain_script("candidate_keep", scope), (app,)), stdin)
        if not name:
            return 1
        at_terminal = has_terminal()
        words = (layout.releases, app, release, name, "pty" if at_terminal else "pipe")
        command = Command(scripts.plain_script("candidate", scope), words)
        return await (candidate.host.interact(command) if at_terminal else candidate.stream(command))


async def _keep(where: LiveSlot | Candidate, command: Command, stdin: bytes) -> str:
    """Keep a program on the host and return its name there, "" if that failed, which is said."""
    kept = await where.host.run(command, stdin)
    name = kept.stdout.strip()
    if not kept.status and re.fullmatch(r"[A-Za-z0-9]{1,40}", name):
        return name
    print(f"host {where.host.name}: the command cannot be kept there: {kept.last_words}", file=sys.stderr)
    return ""
