"""`reconcile` without a command: a pass at once, on every commit or saved file, and on a timer, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from reconciler.commands.once import report
from reconciler.errors import ReconcileError
from reconciler.load import load
from reconciler.logs import log
from reconciler.loop import Outcome
from reconciler.model.desired import Desired
from reconciler.progress import Progress
from reconciler.session import Session, controller
from reconciler.watch import Watch, changes, places


def run(args: argparse.Namespace) -> int:
    """Runs until SIGTERM or Ctrl-C; then ends what is under way cleanly."""
    return asyncio.run(_watch(args))


async def _watch(args: argparse.Namespace) -> int:
    async def read() -> Desired:
        return load(args.desired_state, ref=args.ref, working_tree=args.working_tree)

    def tell(opened: Session, outcomes: list[Outcome], seconds: float) -> None:
        report(opened, outcomes, seconds, args)

    watch = Watch(
        read, controller, Progress(log, terminal=sys.stderr.isatty()), tell, _trouble, args.interval, args.allow_prune
    )
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, watch.stop)
    waking = asyncio.create_task(_wake_on_changes(args, watch))
    await watch.run()
    waking.cancel()
    return 0


async def _wake_on_changes(args: argparse.Namespace, watch: Watch) -> None:
    async for _ in changes(*places(args.desired_state)):
        watch.wake()


def _trouble(error: ReconcileError) -> None:
    log("desired_state.refused", reason=str(error), next=error.next_step)
