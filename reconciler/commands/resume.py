"""`reconcile resume APP`: end a suspension."""

from __future__ import annotations

import asyncio

from reconciler.commands.suspend import mark_app_or_job
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet


def run(options: Options) -> int:
    """Return 0 once every host of the app has recorded it."""
    options = options.for_app()
    return asyncio.run(_resume(options))


async def _resume(options: Options) -> int:
    async with open_fleet(options) as opened:
        hosts = await mark_app_or_job(opened, options, "resume", 0)
    if options.job:
        print(f"the job {options.job} of {options.app_name} resumes on {', '.join(hosts)}")
    else:
        print(f"{options.app_name} resumes at the next pass on {', '.join(hosts)}")
    return 0
