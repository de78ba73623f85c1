"""The signals that ask a long-running command to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def call_on_signal(stop: Callable[[], object], *numbers: signal.Signals) -> None:
    """Call `stop` in the running event loop whenever one of these signals arrives.

    A signal that was ignored when reconcile was started stays ignored: a shell starts its background jobs with SIGINT
    ignored, and nohup does so with SIGHUP, because a Ctrl-C or a closed terminal is not meant for them.
    """
    loop = asyncio.get_running_loop()
    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop)
