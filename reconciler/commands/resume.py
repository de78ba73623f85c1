"""`reconcile resume APP`: the end of a suspension."""

from __future__ import annotations

import asyncio

from reconciler.apply.marks import mark
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet


def run(options: Options) -> int:
    """0 when every host of the app was told."""
    options = options.for_app()
    return asyncio.run(_resume(options))


async def _resume(options: Options) -> int:
    async with open_fleet(options) as opened:
        hosts = await mark(opened, options.app_name, "resume", 0, "")
    print(f"{options.app_name} goes on at the next pass on {', '.join(hosts)}")
    return 0
