"""`reconcile demo`: run a whole rollout on this machine, for a first look."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine

from reconciler.commands.stop_signals import call_on_signal
from reconciler.demo.story import Swap, perform
from reconciler.demo.traefik import find_traefik
from reconciler.errors import UsageError
from reconciler.model.options import Options

STOPPED = 130


def run(options: Options) -> int:
    """Return 0 when both passes converged and no request failed, else 1; 130 when a signal stopped it.

    In every case, everything that the demo started is gone.
    """
    traefik = find_traefik()

    def print_line(text: str) -> None:  # looks the stream up each time: lines that move have a stand-in for it
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    try:
        swap = asyncio.run(_run_until_signal(perform(traefik, print_line)))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"the demo cannot run here: {error}", "free some space, or set TMPDIR to another folder"
        ) from error
    if swap is None:
        print("\nstopped; everything that the demo started is gone", file=sys.stderr)
        return STOPPED
    if options.json:
        print(json.dumps(swap.as_json(), indent=2))
    if swap.fault:
        print(f"the demo failed: {swap.fault}; please report it with all of the output", file=sys.stderr)
    return 1 if swap.fault else 0


async def _run_until_signal(story: Coroutine[None, None, Swap]) -> Swap | None:
    """Run the story; None if a signal ended it. Either way, whatever it started is stopped."""
    task = asyncio.ensure_future(story)

    def stop() -> None:
        if not task.cancelling():  # a second Ctrl-C must not interrupt the cleanup
            task.cancel()

    call_on_signal(stop, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        return await task
    except asyncio.CancelledError:
        return None
