"""`reconcile exec APP -- COMMAND`: with the release, the env and the user of the live slot, on the first host."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys

from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Command
from reconciler.model.observed import Unreachable
from reconciler.observe import observe
from reconciler.policy.slots import live_slot
from reconciler.session import controller, demand_all, session
from reconciler.tools import scripts

LONGEST_SECONDS = 3600


def run(args: argparse.Namespace) -> int:
    """The command's own exit code."""
    args.app = [args.app_name]
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise UsageError("nothing to run", f"reconcile exec {args.app_name} -- COMMAND")
    return asyncio.run(_exec(args, shlex.join(words)))


async def _exec(args: argparse.Namespace, command: str) -> int:
    async with session(args) as opened:
        demand_all(opened)
        target = opened.targets[0]
        host, site = opened.hosts[target.wanted.host], target.site
        seen = await observe(host, site, [target], controller(opened.owner))
        if isinstance(seen, Unreachable):
            raise HostError(host.name, seen.reason, seen.next_step)
        live = live_slot(target.wanted, seen.app(args.app_name))
        if live is None:
            raise UsageError(f"{args.app_name} has no live slot on {host.name}", "reconcile status")
        words = (site.layout.releases, site.layout.env, args.app_name, live.name, command)
        done = await host.run(Command(scripts.plain_script("exec", site.spec.scope), words), b"", LONGEST_SECONDS)
    print(target.masked(done.stdout), end="")
    print(target.masked(done.stderr), end="", file=sys.stderr)
    return done.status
