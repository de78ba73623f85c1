"""`reconcile suspend APP`: nothing is changed about it until it is resumed or the time is over."""

from __future__ import annotations

import argparse
import asyncio
import re

from reconciler.apply.marks import mark
from reconciler.errors import UsageError
from reconciler.targets.open_fleet import open_fleet

UNITS = {"m": 60, "h": 3600, "d": 86400}


def run(args: argparse.Namespace) -> int:
    """0 when every host of the app was told."""
    args.app = [args.app_name]
    return asyncio.run(_suspend(args, seconds_of(args.duration)))


def seconds_of(duration: str | None) -> int:
    """Seconds in `30m`, `2h` or `7d`; 0 without an end. Raises UsageError."""
    if duration is None:
        return 0
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", duration)
    if not found:
        raise UsageError(f"{duration!r} is not a time", "write 30m, 2h or 7d")
    return int(found[1]) * UNITS[found[2]]


async def _suspend(args: argparse.Namespace, seconds: int) -> int:
    async with open_fleet(args) as opened:
        hosts = await mark(opened, args.app_name, "suspend", seconds, args.reason)
    until = f"for {args.duration}" if args.duration else f"until `reconcile resume {args.app_name}`"
    print(f"{args.app_name} is suspended on {', '.join(hosts)} {until}: {args.reason}")
    return 0
