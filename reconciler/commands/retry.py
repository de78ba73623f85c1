"""`reconcile retry APP`: forget the failures of an app, and try it again at once."""

from __future__ import annotations

import asyncio

from reconciler.apply.marks import mark
from reconciler.commands.once import run_pass
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet


def run(options: Options) -> int:
    """Return 0 when the new attempt converged, else 1."""
    options = options.for_app()
    return asyncio.run(_retry(options))


async def _retry(options: Options) -> int:
    async with open_fleet(options) as opened:
        await mark(opened, options.app_name, "retry", 0, "")
        return await run_pass(opened, options)
