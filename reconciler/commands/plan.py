"""`reconcile plan`: what a pass would do and why. Only looks."""

from __future__ import annotations

import argparse
import asyncio
import json

from reconciler.model.action import Blocked, Converged
from reconciler.plan import AppPlan
from reconciler.preview import preview
from reconciler.report import plan_json, plan_text
from reconciler.session import session


def run(args: argparse.Namespace) -> int:
    """0 nothing to do, 3 something to do, 1 when an app can go no further than it is."""
    return asyncio.run(_plan(args))


async def _plan(args: argparse.Namespace) -> int:
    async with session(args) as opened:
        foreseen = await preview(opened, allow_prune=args.allow_prune)
        plans = [each for _, _, each in foreseen if each.actions or not _absent(each)]
        plans += [AppPlan(refused.host, refused.app, (), refused) for refused in opened.refused]
    print(
        json.dumps(plan_json(plans), indent=2, ensure_ascii=False) if args.json else plan_text(plans),
        end="\n" * args.json,
    )
    if any(isinstance(each.end, Blocked) for each in plans):
        return 1
    return 3 if any(each.actions for each in plans) else 0


def _absent(each: AppPlan) -> bool:
    return isinstance(each.end, Converged) and not each.end.version
