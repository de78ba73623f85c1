"""`reconcile adopt APP`: its hand-written unit, route and env files are ours from now on."""

from __future__ import annotations

import argparse
import asyncio

from reconciler.apply.marks import mark
from reconciler.targets.open_fleet import open_fleet


def run(args: argparse.Namespace) -> int:
    """0 when every host of the app was told."""
    args.app = [args.app_name]
    return asyncio.run(_adopt(args))


async def _adopt(args: argparse.Namespace) -> int:
    async with open_fleet(args) as opened:
        hosts = await mark(opened, args.app_name, "adopt", 0, "")
    print(f"{args.app_name} is adopted on {', '.join(hosts)}; what runs there serves until its successor is healthy")
    print(f"next: reconcile plan --app {args.app_name}")
    return 0
