"""`reconcile --once`: run one pass, then exit."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import TYPE_CHECKING

from reconciler.model.options import Options
from reconciler.targets.open_fleet import OpenFleet, open_fleet

if TYPE_CHECKING:  # what is imported here comes before the hosts are connected to: only what that takes
    from reconciler.model.outcome import Outcome
    from reconciler.model.target import Controller

MOST_OPENED_AHEAD = 16  # hosts: more take turns


def run(options: Options) -> int:
    """Return 0 when everything is converged, else 1."""
    return asyncio.run(_once(options))


async def _once(options: Options) -> int:
    async with open_fleet(options, history="demanded") as opened:
        if len(opened.hosts) <= MOST_OPENED_AHEAD:
            for host in opened.hosts.values():
                host.open_ahead()
            await asyncio.to_thread(importlib.import_module, "reconciler.engine.converge")  # while they log us in
        return await run_pass(opened, options)


async def run_pass(opened: OpenFleet, options: Options, who: Controller | None = None) -> int:
    """Run one pass, report it, and return the exit code."""
    from reconciler.clock import now_seconds
    from reconciler.daemon.traces import traces_of
    from reconciler.engine.converge import converge
    from reconciler.engine.progress import Progress
    from reconciler.logs import log
    from reconciler.terminal import can_redraw

    started = now_seconds()
    traces = traces_of(lambda: opened.desired.revision)
    progress = Progress(log, terminal=can_redraw(sys.stderr), observer=traces)
    try:
        outcomes = await converge(
            opened, progress, who, wait_lock_seconds=options.wait_lock, allow_prune=options.allow_prune
        )
    finally:
        progress.close()
    seconds = now_seconds() - started
    code = report(opened, outcomes, seconds, options)
    if opened.desired.fleet.notify or options.metrics_file:
        from reconciler.daemon.after_pass import PassReports

        reports = PassReports(options.metrics_file)
        reports.resume_counters()
        await reports.report_pass(opened, outcomes, seconds)
    traces.end_pass(outcomes)
    await asyncio.to_thread(traces.close)
    return code


def report(opened: OpenFleet, outcomes: list[Outcome], seconds: float, options: Options) -> int:
    """Report how a pass ended, and return the exit code. A pass that found nothing to do logs nothing."""
    from reconciler.model.action import Converged

    converged = all(isinstance(outcome.end, Converged) for outcome in outcomes)
    actions = sum(len(outcome.actions) for outcome in outcomes)
    _print_outcomes(outcomes, as_json=options.json)
    if actions or options.verbose or not converged:
        from reconciler.logs import log

        log(
            "pass.finished",
            outcome="converged" if converged else "not converged",
            actions=actions,
            round_trips={name: host.round_trips.count for name, host in opened.hosts.items()},
            seconds=round(seconds, 2),
            revision=opened.desired.revision,
        )
    return 0 if converged else 1


def _print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    from reconciler.colours import paint_message
    from reconciler.engine.report import end_json, notes_text, outcome_text
    from reconciler.model.action import Blocked, Converged
    from reconciler.terminal import paint_for

    if as_json:
        rows = [
            {"host": o.end.host, "app": o.end.app, "actions": [a.verb for a in o.actions], **end_json(o.end)}
            for o in outcomes
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    ends = [outcome.end for outcome in outcomes]
    text = outcome_text([end for end in ends if isinstance(end, Converged)])
    print(paint_message(text, paint_for(sys.stdout)), end="", flush=True)
    paint, blocked = paint_for(sys.stderr), outcome_text([end for end in ends if isinstance(end, Blocked)])
    text = paint_message(blocked, paint) + paint_message(notes_text(ends), paint, "warn")
    print(text, end="", file=sys.stderr)
