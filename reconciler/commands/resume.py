"""`reconcile resume APP`: the end of a suspension."""

from __future__ import annotations

import argparse
import asyncio

from reconciler.apply.marks import mark
from reconciler.targets.open_fleet import open_fleet


def run(args: argparse.Namespace) -> int:
    """0 when every host of the app was told."""
    args.app = [args.app_name]
    return asyncio.run(_resume(args))


async def _resume(args: argparse.Namespace) -> int:
    async with open_fleet(args) as opened:
        hosts = await mark(opened, args.app_name, "resume", 0, "")
    print(f"{args.app_name} goes on at the next pass on {', '.join(hosts)}")
    return 0
