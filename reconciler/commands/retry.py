"""`reconcile retry APP`: forget what failed, and try it again at once."""

from __future__ import annotations

import argparse
import asyncio

from reconciler.apply.marks import mark
from reconciler.commands.once import run_pass
from reconciler.targets.open_fleet import open_fleet


def run(args: argparse.Namespace) -> int:
    """0 when the app is converged after the new try, else 1."""
    args.app = [args.app_name]
    return asyncio.run(_retry(args))


async def _retry(args: argparse.Namespace) -> int:
    async with open_fleet(args) as opened:
        await mark(opened, args.app_name, "retry", 0, "")
        return await run_pass(opened, args)
