"""`reconcile rollback APP`: print which commit takes an app back; --now goes back and holds until the next change."""

from __future__ import annotations

import asyncio
import json
import sys

from reconciler.apply.marks import reject
from reconciler.commands.once import run_pass
from reconciler.desired_state.environments import environment_file
from reconciler.desired_state.origin import FARTHEST_BACK
from reconciler.engine.rollback import app_of, find_former
from reconciler.errors import UsageError
from reconciler.model.desired import App, Desired
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import close, open_fleet, work_out
from reconciler.targets.processes import refuse_process


def run(options: Options) -> int:
    """Return 0 after printing what to commit; 1 after going back, because git then still wants something else."""
    refuse_process(options.app_name)
    options = options.for_app()
    return asyncio.run(_rollback(options))


async def _rollback(options: Options) -> int:
    async with open_fleet(options, history="demanded") as opened:
        current, who = app_of(opened.desired, options.app_name), new_controller(opened.owner)
        if opened.desired.revision is None or current is None:
            raise UsageError("there is no commit to go back to", f"reconcile set {options.app_name} VERSION")
        former = await find_former(opened, current, who)
        if former is None:
            raise UsageError(
                f"the last {FARTHEST_BACK} commits have no earlier state of {current.app} that has not failed",
                "set a version",
            )
        _print_advice(options, current, former)
        if not options.now:
            return 0
        await reject(opened, current.app, f"rolled back by hand by {who.holder}", opened.hosts, who)
    environment = opened.desired.environment
    former_fleet = await work_out(former, (current.app,), options.host)
    try:
        await run_pass(former_fleet, options)
    finally:
        await close(former_fleet)
    file = f"{options.desired_state}/{environment_file(environment) if environment else f'apps/{current.app}.yaml'}"
    print(f"held there until {file} changes; reconcile retry {current.app} releases it")
    return 1


def _print_advice(options: Options, current: App, former: Desired) -> None:
    earlier = app_of(former, current.app)
    assert earlier is not None and former.revision is not None
    path = options.desired_state / "apps" / f"{current.app}.yaml"
    command = (
        f"git checkout {former.revision[:12]} -- {path} && git commit -m 'Back to {current.app} {earlier.version}'"
    )
    if former.environment:
        command = f"reconcile set {current.app} {earlier.version} --environment {former.environment}"
    if options.json:
        print(
            json.dumps({"app": current.app, "from": current.version, "to": earlier.version, "commit": former.revision})
        )
        return
    same_version = f"{current.version} with its earlier settings"
    change = f"{current.version} → {earlier.version}" if current.version != earlier.version else same_version
    print(f"{current.app}: {change}, as in commit {former.revision[:12]}")
    if not options.now:
        print(f"next: {command}", file=sys.stderr)
        print("or pass --now to go back at once and hold until the next change in git", file=sys.stderr)
