"""`reconcile adopt APP`: let reconcile manage an app's hand-written unit, route and env files from now on."""

from __future__ import annotations

import asyncio

from reconciler.apply.marks import mark
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet


def run(options: Options) -> int:
    """Return 0 once every host of the app has recorded it."""
    options = options.for_app()
    return asyncio.run(_adopt(options))


async def _adopt(options: Options) -> int:
    async with open_fleet(options) as opened:
        hosts = await mark(opened, options.app_name, "adopt", 0, "")
    adopted = f"{options.app_name} is adopted on {', '.join(hosts)}"
    print(f"{adopted}; the running instance keeps serving until its successor is healthy")
    print(f"next: reconcile plan --app {options.app_name}")
    return 0
