"""`reconcile rpc APP EXPRESSION`: `bin/<app> rpc` in the node of the live slot."""

from __future__ import annotations

import argparse
import asyncio

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """The exit code of `bin/<app> rpc`: 0, or 1 when the expression raised."""
    if not args.expression.strip():
        raise UsageError("no expression", f"reconcile rpc {args.app_name} 'IO.inspect(node())'")
    return asyncio.run(_rpc(args))


async def _rpc(args: argparse.Namespace) -> int:
    async with open_live_slot(args) as place:
        return await place.stream(place.command(await place.node(), "rpc"), args.expression.encode())
