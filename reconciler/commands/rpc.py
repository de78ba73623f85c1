"""`reconcile rpc APP EXPRESSION`: run `bin/<app> rpc` in the node of the live slot."""

from __future__ import annotations

import asyncio
import shlex

from reconciler.commands.live_slot import open_live_slot
from reconciler.errors import UsageError
from reconciler.model.options import Options


def run(options: Options) -> int:
    """Return the exit code of `bin/<app> rpc`: 0, or 1 when the expression raised."""
    if not options.expression.strip():
        raise UsageError("no expression given", f"reconcile rpc {options.app_name} 'IO.inspect(node())'")
    return asyncio.run(_rpc(options))


async def _rpc(options: Options) -> int:
    program = f'exec "$1" rpc {shlex.quote(options.expression)} </dev/null\n'
    async with open_live_slot(options) as live:
        return await live.stream(live.command(await live.node(), "rpc"), program.encode())
