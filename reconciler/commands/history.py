"""`reconcile history APP`: who changed it, from which commit, why, how long it took and how it ended."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import datetime
from typing import Any

from reconciler.errors import HostError
from reconciler.host.transport import Command
from reconciler.report import table
from reconciler.session import session
from reconciler.tools import scripts


def run(args: argparse.Namespace) -> int:
    """0 when every host answered, else 1."""
    args.app = [args.app_name]
    return asyncio.run(_history(args))


async def _history(args: argparse.Namespace) -> int:
    failed, entries = 0, []
    async with session(args) as opened:
        for name, host in sorted(opened.hosts.items()):
            command = Command(scripts.plain_script("history"), (opened.sites[name].layout.state, args.app_name))
            try:
                text = (await host.run(command)).stdout
            except HostError as error:
                failed = 1
                print(f"{error}\nnext: {error.next_step}", file=sys.stderr)
                continue
            entries += [{"host": name, **json.loads(line)} for line in text.splitlines() if line.startswith("{")]
    entries.sort(key=lambda entry: int(entry["at"]))
    print(
        json.dumps(entries, indent=2, ensure_ascii=False) if args.json else table([_row(entry) for entry in entries]),
        end="",
    )
    return failed


def _row(entry: dict[str, Any]) -> list[str]:
    when = f"{datetime.fromtimestamp(entry['at']):%Y-%m-%d %H:%M:%S}"
    commit = (entry.get("commit") or "files")[:7]
    change = f"{entry['from'] or 'nothing'} → {entry['to'] or 'nothing'}"
    ended = entry["outcome"] + (f": {entry['reason']}" if entry["reason"] else "")
    return [when, entry["host"], entry["who"], commit, change, entry["why"], f"{entry['seconds']} s", ended]
