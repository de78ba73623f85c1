"""`reconcile` without a command: run a pass at once, on every commit or saved file, and on a timer, until stopped."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from reconciler.clock import now_seconds
from reconciler.commands.once import report
from reconciler.commands.stop_signals import call_on_signal
from reconciler.daemon import systemd_notify
from reconciler.daemon.after_pass import PassReports
from reconciler.daemon.http_server import Get, serve
from reconciler.daemon.metrics import CONTENT_TYPE, liveness, readiness
from reconciler.daemon.traces import traces_of
from reconciler.daemon.webhook import serve_webhook
from reconciler.desired_state.origin import origin_of
from reconciler.desired_state.wake_on_change import watch_changes
from reconciler.engine.progress import Progress
from reconciler.engine.watch import Watch
from reconciler.errors import ReconcileError, Unexpected, UsageError
from reconciler.logs import log
from reconciler.model.action import Blocked
from reconciler.model.options import Options
from reconciler.model.outcome import Outcome
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import OpenFleet
from reconciler.terminal import can_redraw

COLLECTION = (700, 10, 10)  # CPython's own thresholds
LONGEST_STANDSTILL_SECONDS = 300.0  # a pass runs beside the loop, so the loop itself never blocks for long


def run(options: Options) -> int:
    """Run until SIGTERM or Ctrl-C, end what is under way cleanly, and return 0."""
    if options.interval < 1:
        raise UsageError("--interval must be 1 or more", "leave it out for 60")
    gc.set_threshold(*COLLECTION)  # cli.py sets it for a short run, which grows by megabytes in a day
    return asyncio.run(_watch(options))


async def _watch(options: Options) -> int:
    reports = PassReports(options.metrics_file)
    reports.resume_counters()
    news = News()

    def report_pass(opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        if options.verbose or news.is_in(outcomes):
            report(opened, outcomes, seconds, options)
        if opened.desired.refused is None:
            news.refused = ""
        reports.report_in_background(opened, outcomes, seconds)
        traces.end_pass(outcomes)

    def report_error(error: ReconcileError) -> None:
        event = "pass.failed" if isinstance(error, Unexpected) else "desired_state.refused"
        if news.is_new(error) or options.verbose:
            log(event, reason=str(error), next=error.next_step)
        reports.report_error(error)

    traces = traces_of(lambda: watch.desired.revision if watch.desired else None)
    progress = Progress(log, terminal=can_redraw(sys.stderr), observer=traces)
    watch = Watch(
        origin_of(options, lasting=True), new_controller, progress, report_pass, report_error, options.interval,
        options.allow_prune, options.allow_step_back, options.repo,
    )  # fmt: skip
    call_on_signal(watch.stop, signal.SIGTERM, signal.SIGINT)
    server = await _listen(options, watch, reports)
    helpers = [asyncio.create_task(_pat_watchdog(watch))]
    if not options.repo:
        helpers.append(asyncio.create_task(_wake_on_changes(options, watch)))
    await asyncio.sleep(0)  # let the helpers begin, so that no file saved after the first look goes unnoticed
    systemd_notify.notify("READY=1")
    try:
        await watch.run()
    finally:
        progress.close()
    systemd_notify.notify("STOPPING=1")
    await asyncio.to_thread(traces.close)
    for helper in helpers:
        helper.cancel()
    if server:
        server.close()
    return 0


@dataclass
class News:
    """The last reported problem of each app, so that a problem is reported once, and its end once."""

    reported: dict[tuple[str, str], Blocked | None] = field(default_factory=dict)
    refused: str = ""  # why the desired state, or its newest commit, could not be used

    def is_in(self, outcomes: list[Outcome]) -> bool:
        """True if an action was done, or if an app's problem is new, different or gone. Remembers the problems."""
        ends = [outcome.end for outcome in outcomes]
        problems = {(end.app, end.host): end if isinstance(end, Blocked) else None for end in ends}
        same = all(self.reported.get(key) == problem for key, problem in problems.items())
        self.reported |= problems
        return not same or any(outcome.actions for outcome in outcomes)

    def is_new(self, error: ReconcileError) -> bool:
        """True if this error differs from the last one. Remembers it."""
        same, self.refused = str(error) == self.refused, str(error)
        return not same


async def _wake_on_changes(options: Options, watch: Watch) -> None:
    def log_blindness(reason: str) -> None:
        log("changes.not_seen", reason=reason, next=f"commits are still noticed every {options.interval} s")

    async for _ in watch_changes(options.desired_state, log_blindness):
        watch.wake()


async def _pat_watchdog(watch: Watch) -> None:
    every = systemd_notify.watchdog_seconds()
    while every:
        if now_seconds() - watch.turned_seconds < LONGEST_STANDSTILL_SECONDS + 2 * watch.interval_seconds:
            systemd_notify.notify("WATCHDOG=1")
        await asyncio.sleep(every / 2)


async def _listen(options: Options, watch: Watch, reports: PassReports) -> asyncio.Server | None:
    if options.listen is None:
        if options.webhook_secret_file:
            raise UsageError("--webhook-secret-file needs --listen", "add --listen 127.0.0.1:9465")
        return None
    gets: dict[str, Get] = {
        "/metrics": lambda: (200, CONTENT_TYPE, reports.metrics.render(watch.turns)),
        "/healthz": lambda: _plain_text(*liveness(now_seconds() - watch.turned_seconds, LONGEST_STANDSTILL_SECONDS)),
        "/readyz": lambda: _plain_text(*readiness(watch.last_good_age_seconds, watch.interval_seconds)),
    }
    if options.webhook_secret_file is None:
        return await serve(options.listen, gets)
    return await serve_webhook(options.listen, _read_secret(options.webhook_secret_file), watch.wake, gets)


def _plain_text(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", text.encode()


def _read_secret(path: Path) -> SecretStr:
    try:
        return SecretStr(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the webhook secret cannot be read from {path}: {error}", "name a readable file") from error
