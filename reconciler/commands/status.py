"""`reconcile status`: print that git wants X, host runs Y since T, because Z. Changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from reconciler.clock import sleep_seconds
from reconciler.commands.waiting_commits import waiting_commits, waiting_json, waiting_text
from reconciler.decide.plan import AppPlan
from reconciler.engine.preview import preview
from reconciler.engine.report import status_row
from reconciler.engine.status_text import StatusLine, state_of, status_text
from reconciler.model.action import Blocked
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.options import Options
from reconciler.model.target import Target
from reconciler.targets.open_fleet import open_fleet
from reconciler.terminal import can_redraw, paint_for, width_of

REFRESH_SECONDS = 2


def run(options: Options) -> int:
    """Return 0 when every app is ready, else 1."""
    return asyncio.run(_status(options))


async def _status(options: Options) -> int:
    if not options.watch:
        return await _print_status(options)
    while True:
        await _print_status(options, before="\033[H\033[2J" if can_redraw(sys.stdout) else "")
        await sleep_seconds(REFRESH_SECONDS)


async def _print_status(options: Options, before: str = "") -> int:
    async with open_fleet(options, history="wanted", valid_only=True) as opened:
        shown = await preview(opened, allow_prune=options.allow_prune)
        lines = [_line(*row) for row in shown.rows(opened) if not _is_gone(*row[:2])]
        lines += [_line_without_target(blocked) for blocked in shown.without_target(opened)]
        unready = [(line.row["app"], line.row["host"]) for line in lines if not line.row["ready"]]
        waiting = await waiting_commits(opened, shown, unready)
        if options.html:
            from reconciler.commands.page_file import write_page

            await write_page(options.html, opened, shown, options)
    rows = [line.row | waiting_json(waiting.get((line.row["app"], line.row["host"]))) for line in lines]
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:  # cleared and written at once, so that a refresh does not flicker
        text = status_text(lines, width_of(sys.stdout), paint_for(sys.stdout)) + waiting_text(waiting)
        print(before + text, end="", flush=True)
    return 0 if all(row["ready"] for row in rows) and not opened.desired.invalid else 1


def _line(target: Target, seen: ObservedHost | Unreachable, plan: AppPlan) -> StatusLine:
    row = status_row(target, seen, plan)
    drifted = any(action.drift for action in plan.actions)
    state = state_of(row, plan.end, unreachable=isinstance(seen, Unreachable), drifted=drifted)
    return StatusLine(row, state, "" if plan.actions else plan.end.next_step or "")


def _line_without_target(blocked: Blocked) -> StatusLine:
    row: dict[str, Any] = {
        "host": blocked.host,
        "app": blocked.app,
        **dict.fromkeys(("wants", "runs", "since", "slot")),
    }
    row |= {"ready": False, "because": blocked.reason, "quarantined": [], "crash_dumps": []}
    return StatusLine(row, state_of(row, blocked, unreachable=blocked.kind == "unreachable"), blocked.next_step or "")


def _is_gone(target: Target, seen: ObservedHost | Unreachable) -> bool:
    return target.gone and (isinstance(seen, Unreachable) or target.app not in seen.apps)
