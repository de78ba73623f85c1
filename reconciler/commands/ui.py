"""`reconcile ui`: serve the page alone, looking at an interval. Changes nothing."""

from __future__ import annotations

import asyncio
import signal
import sys

from reconciler.commands.stop_signals import call_on_signal
from reconciler.daemon.http_server import serve
from reconciler.daemon.page_access import access_for
from reconciler.daemon.page_server import PageServer
from reconciler.desired_state.origin import origin_of
from reconciler.desired_state.wake_on_change import watch_changes
from reconciler.engine.look_page import LookPage
from reconciler.errors import UsageError
from reconciler.logs import log
from reconciler.model.options import Options

USUAL_ADDRESS = "127.0.0.1:9466"  # beside a watch, which is usually at 9465


def run(options: Options) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0."""
    if options.interval < 1:
        raise UsageError("--interval must be 1 or more", "leave it out for 60")
    return asyncio.run(_ui(options))


async def _ui(options: Options) -> int:
    listen = options.listen or USUAL_ADDRESS
    access = access_for(listen, options.listen_token_file, options.listen_name)
    if access.closed:
        raise UsageError(f"cannot serve the page on {listen}: {access.closed}", "or use 127.0.0.1 and ssh -L")
    page = LookPage(origin_of(options, lasting=True), options)
    server = await serve(listen, {}, page=PageServer(page, access).answer)
    stopped = asyncio.Event()
    call_on_signal(stopped.set, signal.SIGTERM, signal.SIGINT)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
    print(f"looking every {options.interval} s until Ctrl-C; nothing is changed", file=sys.stderr, flush=True)
    work = [asyncio.create_task(page.run())]
    if not options.repo:
        work.append(asyncio.create_task(_wake_on_changes(options, page)))
    await stopped.wait()
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    server.close()
    return 0


async def _wake_on_changes(options: Options, page: LookPage) -> None:
    def log_blindness(reason: str) -> None:
        log("changes.not_seen", reason=reason, next=f"commits are still noticed every {options.interval} s")

    async for _ in watch_changes(options.desired_state, log_blindness):
        page.woken.set()
