"""`reconcile adopt APP`: its hand-written unit, route and env files are ours from now on."""

from __future__ import annotations

import asyncio

from reconciler.apply.marks import mark
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet


def run(options: Options) -> int:
    """0 when every host of the app was told."""
    options = options.for_app()
    return asyncio.run(_adopt(options))


async def _adopt(options: Options) -> int:
    async with open_fleet(options) as opened:
        hosts = await mark(opened, options.app_name, "adopt", 0, "")
    print(f"{options.app_name} is adopted on {', '.join(hosts)}; what runs there serves until its successor is healthy")
    print(f"next: reconcile plan --app {options.app_name}")
    return 0
