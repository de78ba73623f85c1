"""`reconcile rollback APP`: which commit takes it back; with --now, go back at once and hold until the next change."""

from __future__ import annotations

import asyncio
import json
import sys

from reconciler.apply.marks import reject
from reconciler.commands.once import run_pass
from reconciler.desired_state.origin import FARTHEST_BACK
from reconciler.engine.rollback import app_of, find_former
from reconciler.errors import UsageError
from reconciler.model.desired import App, Desired
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import close, open_fleet, work_out


def run(options: Options) -> int:
    """0 when it only says what to commit; 1 after going back, since git wants something else then."""
    options = options.for_app()
    return asyncio.run(_rollback(options))


async def _rollback(options: Options) -> int:
    async with open_fleet(options, history="demanded") as opened:
        now, who = app_of(opened.desired, options.app_name), new_controller(opened.owner)
        if opened.desired.revision is None or now is None:
            raise UsageError("there is no commit to go back to", f"reconcile set {options.app_name} VERSION")
        before = await find_former(opened, now, who)
        if before is None:
            raise UsageError(
                f"{now.app} was nothing else that has not failed, in the last {FARTHEST_BACK} commits", "set a version"
            )
        _print_advice(options, now, before)
        if not options.now:
            return 0
        await reject(opened, now.app, f"rolled back by hand by {who.holder}", opened.hosts, who)
    old = await work_out(before, (now.app,), options.host)
    try:
        await run_pass(old, options)
    finally:
        await close(old)
    print(f"held there until {options.desired_state}/apps/{now.app}.yaml changes; reconcile retry {now.app} lets it go")
    return 1


def _print_advice(options: Options, now: App, before: Desired) -> None:
    old = app_of(before, now.app)
    assert old is not None and before.revision is not None
    path = options.desired_state / "apps" / f"{now.app}.yaml"
    command = f"git checkout {before.revision[:12]} -- {path} && git commit -m 'Back to {now.app} {old.version}'"
    if options.json:
        print(json.dumps({"app": now.app, "from": now.version, "to": old.version, "commit": before.revision}))
        return
    what = f"{now.version} → {old.version}" if now.version != old.version else f"{now.version} with its former env"
    print(f"{now.app}: {what}, as in commit {before.revision[:12]}")
    if not options.now:
        print(f"next: {command}", file=sys.stderr)
        print("or --now: go back at once and hold until the next change in git", file=sys.stderr)
