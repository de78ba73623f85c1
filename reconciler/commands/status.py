"""`reconcile status`: print that git wants X, host runs Y since T, because Z. Changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from reconciler.clock import sleep_seconds
from reconciler.engine.preview import preview
from reconciler.engine.report import status_row, status_text
from reconciler.model.action import Blocked
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.options import Options
from reconciler.model.target import Target
from reconciler.targets.open_fleet import open_fleet

REFRESH_SECONDS = 2


def run(options: Options) -> int:
    """Return 0 when every app is ready, else 1."""
    return asyncio.run(_status(options))


async def _status(options: Options) -> int:
    if not options.watch:
        return await _print_status(options)
    while True:
        sys.stdout.write("\033[H\033[2J" if sys.stdout.isatty() else "")
        await _print_status(options)
        await sleep_seconds(REFRESH_SECONDS)


async def _print_status(options: Options) -> int:
    async with open_fleet(options, history="wanted", valid_only=True) as opened:
        shown = await preview(opened, allow_prune=options.allow_prune)
        rows = [
            status_row(target, seen, plan) for target, seen, plan in shown.rows(opened) if not _is_gone(target, seen)
        ]
        rows += [_row_without_target(blocked) for blocked in shown.without_target(opened)]
    print(
        json.dumps(rows, indent=2, ensure_ascii=False) if options.json else status_text(rows),
        end="\n" * options.json,
    )
    return 0 if all(row["ready"] for row in rows) and not opened.desired.invalid else 1


def _row_without_target(blocked: Blocked) -> dict[str, Any]:
    unknown = {"host": blocked.host, "app": blocked.app, "wants": None, "runs": None, "since": None, "slot": None}
    return unknown | {"ready": False, "because": blocked.reason, "quarantined": [], "crash_dumps": []}


def _is_gone(target: Target, seen: ObservedHost | Unreachable) -> bool:
    return target.gone and (isinstance(seen, Unreachable) or target.app not in seen.apps)
