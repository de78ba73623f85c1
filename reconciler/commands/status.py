"""`reconcile status`: git wants X, host runs Y since T, because Z. Only looks."""

from __future__ import annotations

import argparse
import asyncio
import json

from reconciler.loop import look_at_all
from reconciler.plan import plan
from reconciler.report import status_row, status_text
from reconciler.session import session


def run(args: argparse.Namespace) -> int:
    """0 when every app is ready, else 1."""
    return asyncio.run(_status(args))


async def _status(args: argparse.Namespace) -> int:
    async with session(args) as opened:
        seen = await look_at_all(opened.hosts, opened.targets)
        rows = []
        for target in opened.targets:
            on_host = seen[target.wanted.host]
            rows.append(status_row(target.wanted, on_host, plan(target.wanted, on_host)))
        for refused in opened.refused:
            rows.append(
                {
                    "host": refused.host,
                    "app": refused.app,
                    "wants": None,
                    "runs": None,
                    "since": None,
                    "slot": None,
                }
                | {"ready": False, "because": refused.reason, "quarantined": []}
            )
    print(
        json.dumps(rows, indent=2, ensure_ascii=False) if args.json else status_text(rows),
        end="\n" * args.json,
    )
    return 0 if all(row["ready"] for row in rows) else 1
