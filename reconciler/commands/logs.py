"""`reconcile logs APP`: the journal of an app's slots on its hosts."""

from __future__ import annotations

import argparse
import asyncio
import sys

from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Command
from reconciler.session import session
from reconciler.tools import scripts


def run(args: argparse.Namespace) -> int:
    """0 when every host gave its lines, else 1."""
    args.app = [args.app_name]
    return asyncio.run(_logs(args))


async def _logs(args: argparse.Namespace) -> int:
    failed = 0
    if args.lines < 1:
        raise UsageError("--lines must be 1 or more")
    async with session(args) as opened:
        command = Command(scripts.plain_script("logs"), (args.app_name, str(args.lines)))
        for name, host in sorted(opened.hosts.items()):
            try:
                completed = await host.run(command)
            except HostError as error:
                failed = 1
                print(f"{error}\nnext: {error.next_step}", file=sys.stderr)
                continue
            if len(opened.hosts) > 1:
                print(f"== {name}")
            print(opened.targets[0].masked(completed.stdout), end="")
    return failed
