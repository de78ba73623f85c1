"""`reconcile` without a command: run a pass at once, on every commit or saved file, and on a timer, until stopped."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from reconciler.clock import now_seconds
from reconciler.commands.once import report
from reconciler.commands.stop_signals import call_on_signal
from reconciler.daemon import systemd_notify
from reconciler.daemon.after_pass import PassReports
from reconciler.daemon.http_server import Get, Page, serve
from reconciler.daemon.metrics import CONTENT_TYPE, liveness, readiness
from reconciler.daemon.traces import Traces, traces_of
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

if TYPE_CHECKING:  # a watch without --listen does not need it
    from reconciler.engine.watch_page import WatchPage

COLLECTION = (700, 10, 10)  # CPython's own thresholds
_NEED_LISTEN = {
    "--webhook-secret-file": "webhook_secret_file",
    "--listen-token-file": "listen_token_file",
    "--listen-name": "listen_name",
}
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
    traces = traces_of(lambda: watch.desired.revision if watch.desired else None)
    page = _new_page(traces) if options.listen else None
    reporting = Reporting(options, reports, traces, page, News())
    progress = page.progress if page else Progress(log, terminal=can_redraw(sys.stderr), observer=traces)
    watch = Watch(
        origin_of(options, lasting=True), new_controller, progress, reporting.report_pass, reporting.report_error,
        options.interval, options.allow_prune, options.allow_step_back, options.repo, options.shard,
    )  # fmt: skip
    call_on_signal(watch.stop, signal.SIGTERM, signal.SIGINT)
    server = await _listen(options, watch, reports, page)
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
    if page:
        await page.close()
    for helper in helpers:
        helper.cancel()
    if server:
        server.close()
    return 0


@dataclass
class Reporting:
    """Reports each pass to the log, the metrics, people and the page."""

    options: Options
    reports: PassReports
    traces: Traces
    page: WatchPage | None
    news: News

    def report_pass(self, opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        """Take in the end of a pass."""
        if self.options.verbose or self.news.is_in(outcomes):
            report(opened, outcomes, seconds, self.options)
        if opened.desired.refused is None:
            self.news.refused = ""
        self.reports.report_in_background(opened, outcomes, seconds)
        self.traces.end_pass(outcomes)
        if self.page:
            self.page.end_pass(opened, outcomes)

    def report_error(self, error: ReconcileError) -> None:
        """Take in that the desired state cannot be used, or a bug."""
        event = "pass.failed" if isinstance(error, Unexpected) else "desired_state.refused"
        if self.news.is_new(error) or self.options.verbose:
            log(event, reason=str(error), next=error.next_step)
        self.reports.report_error(error)
        if self.page:
            self.page.end_with_error(error)


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


def _new_page(traces: Traces) -> WatchPage:
    from reconciler.engine.recorder import Recorder, RecordingProgress
    from reconciler.engine.watch_page import WatchPage

    recorder = Recorder()
    return WatchPage(
        RecordingProgress(log, terminal=can_redraw(sys.stderr), observer=traces).record(recorder), recorder
    )


def _page_handler(options: Options, watch: Watch, page: WatchPage) -> Page:
    from reconciler.daemon.page_access import access_for
    from reconciler.daemon.page_server import PageServer

    page.watch = watch
    access = access_for(str(options.listen), options.listen_token_file, options.listen_name)
    if access.closed:
        log("page.not_served", reason=access.closed, next="the other paths are served as usual")
    return PageServer(page, access).answer


async def _listen(
    options: Options, watch: Watch, reports: PassReports, page: WatchPage | None
) -> asyncio.Server | None:
    if options.listen is None or page is None:
        for option, given in _NEED_LISTEN.items():
            if getattr(options, given):
                raise UsageError(f"{option} needs --listen", "add --listen 127.0.0.1:9465")
        return None
    handler = _page_handler(options, watch, page)
    gets: dict[str, Get] = {
        "/metrics": lambda: (200, CONTENT_TYPE, reports.metrics.render(watch.turns)),
        "/healthz": lambda: _plain_text(*liveness(now_seconds() - watch.turned_seconds, LONGEST_STANDSTILL_SECONDS)),
        "/readyz": lambda: _plain_text(*readiness(watch.last_good_age_seconds, watch.interval_seconds)),
    }
    if options.webhook_secret_file is None:
        return await serve(options.listen, gets, page=handler)
    return await serve_webhook(options.listen, _read_secret(options.webhook_secret_file), watch.wake, gets, handler)


def _plain_text(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", text.encode()


def _read_secret(path: Path) -> SecretStr:
    try:
        return SecretStr(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the webhook secret cannot be read from {path}: {error}", "name a readable file") from error
