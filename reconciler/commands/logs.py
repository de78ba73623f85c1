"""`reconcile logs APP`: print the journal of an app's slots on its hosts, with --follow until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from reconciler.commands.run import files_of_job
from reconciler.errors import HostError, HostRefused, UsageError
from reconciler.host.transport import Command
from reconciler.model.options import Options
from reconciler.targets.open_fleet import OpenFleet, demand_all, open_fleet
from reconciler.targets.processes import name_on_hosts
from reconciler.tools import scripts
from reconciler.words import printable, printable_line

FOLLOW_SECONDS = 7 * 86_400
LONGEST_LINE_BYTES = 1024 * 1024


def run(options: Options) -> int:
    """Return 0 when the journal of every host could be read, else 1."""
    if options.lines < 1:
        raise UsageError("--lines must be 1 or more", "leave it out for 100")
    options = options.for_app()
    return asyncio.run(_logs(options))


async def _logs(options: Options) -> int:
    async with open_fleet(options, valid_only=True) as opened:
        demand_all(opened)  # unknown secrets could not be masked
        app = _app_of(opened, options)
        hosts = sorted(files.target.host for files in opened.targets.values() if files.target.app == app)
        if options.job:
            hosts = [files_of_job(opened, options.app_name, options.job).target.host]
        results = await asyncio.gather(*(_print_host_logs(opened, host, app, options) for host in hosts))
    return max(results, default=0)


def _app_of(opened: OpenFleet, options: Options) -> str:
    """The name on hosts of the app, or of its process that was asked for. Raises UsageError if it has no such one."""
    if not options.process:
        return options.app_name
    app = next((each for each in opened.desired.apps if each.app == options.app_name), None)
    if app is None or options.process not in app.processes:
        known = ", ".join(app.processes if app else ()) or "none"
        raise UsageError(f"{options.app_name} has no process {options.process}", f"known: {known}")
    return name_on_hosts(app, options.process)


async def _print_host_logs(opened: OpenFleet, name: str, app: str, options: Options) -> int:
    script = scripts.plain_script("logs", opened.sites[name].spec.scope)
    words = (app, str(options.lines), "yes" if options.follow else "no", options.job or "-")
    command = Command(script, words)
    several = len({files.target.host for files in opened.targets.values() if files.target.app == app}) > 1
    on_output = _line_printer(opened, f"{name}: " if several else "")
    try:
        seconds = FOLLOW_SECONDS if options.follow else 60
        done = await opened.hosts[name].run(command, b"", seconds, on_output=on_output)
        if done.status:
            reason, _, next_step = done.stderr.strip().partition("\n")
            reason = printable(reason) or f"its journal could not be read: exit {done.status}"
            raise HostRefused(name, reason, printable(next_step) or "run journalctl there")
    except HostError as error:
        print(f"{error}\nnext: {error.next_step}", file=sys.stderr)
        return 1
    for line in done.stderr.splitlines():
        print(f"{name}: {app} {printable_line(line)}", file=sys.stderr)
    return 0


def _line_printer(opened: OpenFleet, prefix: str) -> Callable[[bytes], None]:
    """Return a function that prints lines as they arrive: escaped for a terminal, unchanged for a file or a pipe."""
    rest, terminal = b"", sys.stdout.isatty()
    files = next(iter(opened.targets.values()))

    def print_lines(block: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + block).split(b"\n")
        rest = rest[-LONGEST_LINE_BYTES:]
        for line in lines:
            text = files.mask(line.decode(errors="replace"))
            print(prefix + (printable_line(text) if terminal else text), flush=True)

    return print_lines
