"""`reconcile suspend APP`: leave an app alone until it is resumed or the time is over."""

from __future__ import annotations

import asyncio
import re

from reconciler.apply.marks import mark, mark_job
from reconciler.commands.run import files_of_job
from reconciler.errors import UsageError
from reconciler.model.options import Options
from reconciler.targets.open_fleet import OpenFleet, open_fleet

UNITS = {"m": 60, "h": 3600, "d": 86400}


def run(options: Options) -> int:
    """Return 0 once every host of the app has recorded it."""
    options = options.for_app()
    return asyncio.run(_suspend(options, seconds_of(options.duration)))


def seconds_of(duration: str | None) -> int:
    """Return the seconds in `30m`, `2h` or `7d`; 0 for None, which means no end. Raises UsageError."""
    if duration is None:
        return 0
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", duration)
    if not found:
        raise UsageError(f"{duration!r} is not a duration", "write 30m, 2h or 7d")
    return int(found[1]) * UNITS[found[2]]


async def mark_app_or_job(opened: OpenFleet, options: Options, verb: str, seconds: int) -> list[str]:
    """Set a mark on the app, or on the job that was named, and return the names of the hosts."""
    if not options.job:
        return await mark(opened, options.app_name, verb, seconds, options.reason)
    host = files_of_job(opened, options.app_name, options.job).target.host
    await mark_job(opened, options.app_name, options.job, host, (verb, str(seconds)), options.reason)
    return [host]


async def _suspend(options: Options, seconds: int) -> int:
    async with open_fleet(options) as opened:
        hosts = await mark_app_or_job(opened, options, "suspend", seconds)
    name = f"{options.app_name} --job {options.job}" if options.job else options.app_name
    until = f"for {options.duration}" if options.duration else f"until `reconcile resume {name}`"
    what = f"the job {options.job} of {options.app_name}" if options.job else options.app_name
    print(f"{what} is suspended on {', '.join(hosts)} {until}: {options.reason}")
    return 0
