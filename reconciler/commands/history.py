"""`reconcile history APP`: print who changed an app, from which commit, why, how long it took and how it ended."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import datetime
from typing import Any

from reconciler.commands.history_diffs import Step, step_json, steps_between, steps_text
from reconciler.engine.report import table
from reconciler.errors import HostError, UsageError
from reconciler.model.options import Options
from reconciler.model.reserved import APP_NAME
from reconciler.observe.past import read_history
from reconciler.targets.open_fleet import OpenFleet, demand_all, open_fleet


def run(options: Options) -> int:
    """Return 0 when every host answered, else 1."""
    return asyncio.run(_history(options))


async def _history(options: Options) -> int:
    _check_app_name(options.app_name)
    async with open_fleet(
        options, valid_only=True
    ) as opened:  # of all hosts: a removed app's history stays on the hosts where it ran
        histories = await asyncio.gather(
            *(_read_history(opened, name, options.app_name) for name in sorted(opened.hosts))
        )
    failed = int(None in histories)
    entries = [entry for of_host in histories for entry in of_host or []]
    if not entries and not failed:
        demand_all(opened)  # an app that cannot be resolved may have a history on a host that was not asked
        print(f"no host has a history of app {options.app_name}", file=sys.stderr)
    entries.sort(key=lambda entry: int(entry["at"]))
    steps = await steps_between(opened.desired, options.app_name, entries) if options.diff else []
    print(_json(entries, steps) if options.json else _text(entries, steps), end="")
    return failed


def _json(entries: list[dict[str, Any]], steps: list[Step]) -> str:
    """The entries; with --diff, each has the step that led to its commit, if one did."""
    found = {step.new: step_json(step) for step in steps}
    rows = [entry | ({"diff": found[entry["commit"]]} if entry.get("commit") in found else {}) for entry in entries]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _text(entries: list[dict[str, Any]], steps: list[Step]) -> str:
    return table([_row(entry) for entry in entries]) + steps_text(steps)


async def _read_history(opened: OpenFleet, host: str, app: str) -> list[dict[str, Any]] | None:
    """Return the entries stored on the host, oldest first; None if the host could not be asked."""
    try:
        entries = await read_history(opened.hosts[host], opened.sites[host], app)
    except HostError as error:
        print(f"{error}\nnext: {error.next_step}", file=sys.stderr)
        return None
    if None in entries:
        print(f"host {host}: skipped a malformed line of its history", file=sys.stderr)
    return [{"host": host, **entry} for entry in entries if entry]


def _check_app_name(name: str) -> None:
    """Raise UsageError unless `name` can be an app's name: it becomes part of a path on the host."""
    if not re.fullmatch(APP_NAME, name):
        raise UsageError(f"{name!r} is not a valid app name", "use the name in desired-state/apps, or a former one")


def _row(entry: dict[str, Any]) -> list[str]:
    when = f"{datetime.fromtimestamp(entry['at']):%Y-%m-%d %H:%M:%S}"
    commit = (entry.get("commit") or "files")[:7]
    change = f"{entry['from'] or 'nothing'} → {entry['to'] or 'nothing'}"
    ended = entry["outcome"] + (f": {entry['reason']}" if entry["reason"] else "")
    return [when, entry["host"], entry["who"], commit, change, entry["why"], f"{entry['seconds']} s", ended]
