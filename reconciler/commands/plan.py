"""`reconcile plan`: what a pass would do and why. Only looks."""

from __future__ import annotations

import argparse
import asyncio
import json

from reconciler.loop import look_at_all
from reconciler.model.action import Blocked
from reconciler.plan import AppPlan, plan
from reconciler.report import plan_json, plan_text
from reconciler.session import session


def run(args: argparse.Namespace) -> int:
    """0 nothing to do, 3 something to do, 1 when an app can go no further than it is."""
    return asyncio.run(_plan(args))


async def _plan(args: argparse.Namespace) -> int:
    async with session(args) as opened:
        seen = await look_at_all(opened.hosts, opened.targets)
        plans = [plan(target.wanted, seen[target.wanted.host]) for target in opened.targets]
        plans += [AppPlan(refused.host, refused.app, (), refused) for refused in opened.refused]
    print(
        json.dumps(plan_json(plans), indent=2, ensure_ascii=False) if args.json else plan_text(plans),
        end="\n" * args.json,
    )
    if any(isinstance(each.end, Blocked) for each in plans):
        return 1
    return 3 if any(each.actions for each in plans) else 0
