"""Reports a pass to the outside: metrics for Prometheus, messages to the places that fleet.yaml names.

A report that fails is logged; it never fails the pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.clock import epoch_seconds
from reconciler.daemon.metrics import Metrics
from reconciler.errors import GitError, InvalidDesiredState, ReconcileError, Unexpected
from reconciler.files import cache_path, make_private
from reconciler.logs import log
from reconciler.model.action import Blocked
from reconciler.model.outcome import Outcome
from reconciler.model.references import references_in
from reconciler.notify.notifier import Notifier
from reconciler.targets.open_fleet import OpenFleet


@dataclass
class PassReports:
    """The metrics and messages of one process."""

    metrics_file: Path | None
    metrics: Metrics = field(default_factory=lambda: Metrics(epoch_seconds))
    notifier: Notifier | None = None
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def resume_counters(self) -> None:
        """Continue the counters of an earlier process, so that a timer that runs --once counts like a watch."""
        if self.metrics_file:
            self.metrics.resume(self.metrics_file)

    async def report_pass(self, opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        """Count the pass, write the metrics file and send the messages."""
        for host in opened.hosts:
            wants = {files.target.app: files.target.version for files in opened.by_host.get(host, ())}
            suspended = [o.end.app for o in outcomes if isinstance(o.end, Blocked) and o.end.kind == "suspended"]
            self.metrics.observe_pass(host, seconds, outcomes, wants=wants, suspended=suspended)
        desired = opened.desired
        self.metrics.keep_hosts({*desired.host_names(), *desired.fleet.hosts})
        self.metrics.set_git_head(desired.committed_at)
        self._write_metrics()
        await self._notify_of_pass(opened, outcomes)
        if desired.refused is None:  # a refused commit was reported when it was refused
            await self._notify_of_desired_state(None, desired.revision)

    def report_in_background(self, opened: OpenFleet, outcomes: list[Outcome], seconds: float) -> None:
        """Do what `report_pass` does, in a task of its own, so that the loop does not wait."""
        self._start_task(self.report_pass(opened, outcomes, seconds))

    def report_error(self, error: ReconcileError) -> None:
        """Report a desired state that cannot be used, to the places that the last usable one named."""
        self.metrics.observe_error(error)
        self._write_metrics()
        if not error.retryable:  # a repository that is unreachable for a moment is not worth a message
            revision = error.revision if isinstance(error, InvalidDesiredState | GitError) else None
            self._start_task(self._notify_of_desired_state(error, revision))

    def _start_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(_log_failure(work))
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def _write_metrics(self) -> None:
        if self.metrics_file is None:
            return
        try:
            self.metrics.write_textfile(self.metrics_file)
        except ReconcileError as error:
            log("metrics.not_written", reason=str(error))

    async def _notify_of_pass(self, opened: OpenFleet, outcomes: list[Outcome]) -> None:
        settings = opened.desired.fleet.notify
        if not settings and self.notifier is None:
            return
        names = (reference.name for place in settings for reference in references_in(place, "notify"))
        secret = await opened.vault.read_all(names)
        self.notifier = self.notifier or Notifier(settings, secret, remember=_memory_file())
        self.notifier.use(settings, secret)
        jobs = {(f"{app} job {job.name}", host) for (app, host), f in opened.targets.items() for job in f.target.jobs}
        known = opened.targets.keys() | jobs
        secrets = frozenset().union(*(files.secrets for files in opened.targets.values()))
        failures = await self.notifier.notify(
            outcomes, epoch_seconds(), revision=opened.desired.revision, known=known, secrets=secrets
        )
        for failure in failures:
            log("notify.failed", reason=failure)

    async def _notify_of_desired_state(self, error: ReconcileError | None, revision: str | None) -> None:
        if self.notifier is None:
            return
        for failure in await self.notifier.notify_of_desired_state(error, epoch_seconds(), revision=revision):
            log("notify.failed", reason=failure)


async def _log_failure(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:
        log("notify.failed", reason=str(Unexpected(error)))


def _memory_file() -> Path | None:
    """Return the file in which the notifier remembers what it reported, or None if it cannot be written."""
    try:
        return make_private(cache_path("notify")) / "told.json"
    except OSError:
        return None
