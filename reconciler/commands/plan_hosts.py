"""`reconcile plan` over the hosts as they are now."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from reconciler.colours import paint_plan
from reconciler.commands.plan_diffs import diffs_on_hosts
from reconciler.decide.plan import AppPlan
from reconciler.engine.diff_text import diff_blocks, diff_text
from reconciler.engine.migration_notes import migration_notes
from reconciler.engine.plan_markdown import plan_markdown
from reconciler.engine.preview import preview
from reconciler.engine.report import plan_json, plan_text
from reconciler.engine.upload_notes import upload_notes
from reconciler.model.action import Blocked, Converged
from reconciler.model.options import Options
from reconciler.targets.file_diffs import Diff
from reconciler.targets.open_fleet import OpenFleet, open_fleet
from reconciler.terminal import paint_for


def run(options: Options) -> int:
    """Return 0 when there is nothing to do, 3 when there is something to do, 1 when an app is blocked."""
    return asyncio.run(_plan(options))


async def _plan(options: Options) -> int:
    async with open_fleet(options, history="wanted") as opened:
        hints = await _hints(opened)
        shown = await preview(opened, allow_prune=options.allow_prune)
        migrations = await migration_notes(opened, shown)
        uploads = await upload_notes(opened, shown)
        plans = [
            replace(plan, notes=(*uploads.get(key, ()), *migrations.get(key, ()))) for key, plan in shown.plans.items()
        ]
        plans = [plan for plan in plans if plan.actions or not _is_absent(plan)]
        diffs = await diffs_on_hosts(opened, shown, plans) if options.diff else []
    for hint in hints:
        print(hint, file=sys.stderr)
    print(_shown(options, plans, diffs), end="")
    if any(isinstance(plan.end, Blocked) for plan in plans):
        return 1
    return 3 if any(plan.actions for plan in plans) else 0


def _shown(options: Options, plans: list[AppPlan], diffs: list[Diff]) -> str:
    if options.json:
        lines = {(app, host): list(lines) for app, hosts, lines in diffs for host in hosts}
        rows = [row | ({"diff": lines.get((row["app"], row["host"]), [])} if lines else {}) for row in plan_json(plans)]
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    if options.markdown:
        return plan_markdown(plans, options.longest, diff_blocks(diffs))
    shown = "".join("\n" + diff_text(*each) for each in diffs)
    return paint_plan(plan_text(plans), paint_for(sys.stdout)) + shown


async def _hints(opened: OpenFleet) -> list[str]:
    from reconciler.artifact.hints import advice

    targets = {files.target.app: files for files in opened.targets.values() if files.app}
    asked = [advice(files.app, files.folder, files.variables) for files in targets.values() if files.app]
    return [hint for hints in await asyncio.gather(*asked) for hint in hints]


def _is_absent(plan: AppPlan) -> bool:
    return isinstance(plan.end, Converged) and not plan.end.version
