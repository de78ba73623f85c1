"""Numbers for Prometheus, in its text format, and how we are: `/metrics`, `/readyz`, `/healthz`, or a textfile.

Labels hold names from the desired state, versions, and words of fixed lists; never a text that somebody wrote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from reconciler.errors import ReconcileError
from reconciler.files import write_whole
from reconciler.model.action import AnyAction, Converged, Drift
from reconciler.notify.problems import error_kind

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PASS_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
ROLLOUT_BUCKETS: Final = (5, 15, 30, 60, 120, 300, 900, 3600)
WAIT_BUCKETS: Final = (0.1, 1, 5, 10, 30, 60, 300)
GOOD_PASSES_MISSED: Final = 3

# What somebody else did that no action can put back; it is met instead.
_DRIFT_PROBLEMS: Final = {"port_taken": "stranger", "traefik": "traefik", "crashing": "crashing", "drift": "reported"}
DRIFT_KINDS: Final = (*get_args(Drift), *_DRIFT_PROBLEMS.values())
ROLLOUT: Final = frozenset({"start", "enable", "goback", "reject"})  # unless they put drift back
ROLLBACKS: Final = ("reject", "goback")  # before and after the cutover


class Family:
    """All series of one metric, by the values of its labels."""

    def __init__(self, kind: Literal["counter", "gauge"], text: str, *labels: str) -> None:
        self.kind, self.text, self.labels = kind, text, labels
        self.series: dict[tuple[str, ...], float] = {}

    def add(self, by: float = 1.0, **labels: str) -> None:
        key = self._key(labels)
        self.series[key] = self.series.get(key, 0.0) + by

    def set(self, value: float, **labels: str) -> None:
        self.series[self._key(labels)] = value

    def drop(self, **labels: str) -> None:
        _drop(self.labels, self.series, labels)

    def _key(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(labels[name] for name in self.labels)


class Histogram:
    """All series of one histogram: for each limit, and for all together, how many values were no larger; their sum."""

    def __init__(self, text: str, limits: tuple[float, ...], *labels: str) -> None:
        self.text, self.limits, self.labels = text, (*limits, math.inf), labels
        self.series: dict[tuple[str, ...], Counts] = {}

    @property
    def limit_texts(self) -> list[str]:
        return [f"{limit:g}".replace("inf", "+Inf") for limit in self.limits]

    def observe(self, value: float, **labels: str) -> None:
        counts = self.counts(labels)
        counts.sum += value
        for index, limit in enumerate(self.limits):
            counts.within[index] += value <= limit

    def counts(self, labels: Mapping[str, str]) -> Counts:
        """Those of one series, which can be changed."""
        key = tuple(labels[name] for name in self.labels)
        return self.series.setdefault(key, Counts([0.0] * len(self.limits)))

    def drop(self, **labels: str) -> None:
        _drop(self.labels, self.series, labels)


@dataclass
class Counts:
    """One series of a histogram."""

    within: list[float]  # by limit
    sum: float = 0.0


def _drop(names: tuple[str, ...], series: dict[tuple[str, ...], Any], labels: Mapping[str, str]) -> None:
    """Forget the series that have all these labels."""
    for key in [key for key in series if labels.items() <= dict(zip(names, key, strict=True)).items()]:
        del series[key]


class Metrics:
    """What a process has done and seen so far. `now` gives epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._head_committed_at: float | None = None
        self._problems: dict[tuple[str, str], str] = {}  # the last one of an app on a host: met once, counted once
        self.up = Family("gauge", "1 while reconcile runs.")
        self.duration = Histogram("How long a pass over a host took.", PASS_BUCKETS, "host")
        self.passes = Family(
            "counter", "Passes over a host, by how they ended: converged or blocked.", "host", "outcome"
        )
        self.errors = Family("counter", "What kept a pass or an app in it from converging, by kind.", "kind")
        self.app = Family(
            "gauge",
            "Apps on hosts: the version wanted, the one that runs, ready when they agree; 1.",
            *("app", "host", "wants", "runs", "ready"),
        )
        self.suspended = Family("gauge", "1 while changes to the app are suspended.", "app", "host")
        self.job_failed = Family("gauge", "1 if the last run of the job failed.", "app", "host", "job")
        self.job_end = Family("gauge", "When the last run of the job ended.", "app", "host", "job")
        self.certificate_end = Family("gauge", "When the first certificate of the route ends.", "app", "host")
        self.drift = Family("counter", "Differences that somebody else made, by kind.", "kind")
        self.rollback = Family("counter", "Versions given up: before (reject) or after (goback) the cutover.", "reason")
        self.actions = Family("counter", "Actions carried out, by verb.", "verb")
        self.rollout = Histogram(
            "How long a rollout of an app on a host took, from its first action to its last.",
            ROLLOUT_BUCKETS,
            *("app", "outcome"),
        )
        self.lease = Histogram("How long a pass waited for another controller.", WAIT_BUCKETS)
        self.head_age = Family("gauge", "Age of the commit that is wanted.")
        self.last_success = Family(
            "gauge", "When a pass last found or made everything on the host as wanted; or 0.", "host"
        )
        self.workers = Family("gauge", "Passes under way.")
        self.up.set(1)
        for kind in DRIFT_KINDS:
            self.drift.add(0, kind=kind)
        for reason in ROLLBACKS:
            self.rollback.add(0, reason=reason)

    @property
    def families(self) -> dict[str, Family | Histogram]:
        return {
            "reconcile_up": self.up,
            "reconcile_pass_duration_seconds": self.duration,
            "reconcile_passes_total": self.passes,
            "reconcile_errors_total": self.errors,
            "reconcile_app_info": self.app,
            "reconcile_suspended": self.suspended,
            "reconcile_job_failed": self.job_failed,
            "reconcile_job_last_end_timestamp_seconds": self.job_end,
            "reconcile_certificate_end_timestamp_seconds": self.certificate_end,
            "reconcile_drift_detected_total": self.drift,
            "reconcile_rollback_total": self.rollback,
            "reconcile_actions_total": self.actions,
            "reconcile_rollout_duration_seconds": self.rollout,
            "reconcile_lease_wait_seconds": self.lease,
            "reconcile_git_head_age_seconds": self.head_age,
            "reconcile_last_success_timestamp_seconds": self.last_success,
            "reconcile_active_workers": self.workers,
        }

    def observe_pass(
        self,
        host: str,
        seconds: float,
        outcomes: Iterable[Outcome],
        *,
        wants: Mapping[str, str] | None = None,
        suspended: Collection[str] = (),
    ) -> None:
        """A pass over one host. `wants`: app → desired version, all of the host: those without an outcome (busy in
        another pass) stay as they were; without it the outcomes are all there is. `suspended`: apps known to be so.
        """
        here = {outcome.end.app: outcome for outcome in outcomes if outcome.end.host == host}
        good = all(isinstance(outcome.end, Converged) for outcome in here.values())
        self.duration.observe(seconds, host=host)
        self.passes.add(host=host, outcome="converged" if good else "blocked")
        for app in [app for app, on in self._problems if on == host and (app in here or app not in (wants or {}))]:
            self.app.drop(host=host, app=app)
            for family in (self.suspended, self.job_failed, self.job_end, self.certificate_end):
                family.drop(host=host, app=app)
            if app not in here:
                del self._problems[app, host]
        for app, outcome in here.items():
            self._observe_app(outcome, (wants or {}).get(app, ""), app in suspended)
        self.last_success.add(0, host=host)
        if not any(problem for (_, on), problem in self._problems.items() if on == host):
            self.last_success.set(self._now(), host=host)

    def _observe_app(self, outcome: Outcome, wants: str, suspended: bool) -> None:
        end = outcome.end
        if outcome.waited_seconds:
            self.lease.observe(outcome.waited_seconds)
        for action in outcome.actions:
            self.actions.add(verb=action.verb)
            if action.verb in ROLLBACKS:
                self.rollback.add(reason=action.verb)
        problem = "" if isinstance(end, Converged) else end.kind
        if any(action.verb in ROLLOUT and action.drift is None for action in outcome.actions):
            self.rollout.observe(outcome.seconds, app=end.app, outcome="blocked" if problem else "converged")
        before, self._problems[end.app, end.host] = self._problems.get((end.app, end.host), ""), problem
        for kind in drift_kinds(outcome.actions, problem if problem != before else ""):
            self.drift.add(kind=kind)
        where = {"app": end.app, "host": end.host}
        if isinstance(end, Converged):
            if end.version:
                self.app.set(1, **where, wants=end.version, runs=end.version, ready="true")
        else:
            self.errors.add(kind=problem)
            suspended = suspended or problem == "suspended"
            self.app.set(1, **where, wants=wants, runs=end.serving or "", ready="false")
        self.suspended.set(float(suspended), **where)
        self._observe_ends(outcome, where)

    def _observe_ends(self, outcome: Outcome, where: Mapping[str, str]) -> None:
        if outcome.certificate_ends is not None:
            self.certificate_end.set(outcome.certificate_ends, **where)
        for job in outcome.jobs:
            if job.files and job.last:
                self.job_failed.set(float(job.last.failed), **where, job=job.name)
                self.job_end.set(job.last.ended_epoch_seconds, **where, job=job.name)

    def observe_error(self, error: BaseException) -> None:
        """A pass that could not even be made: the desired state, git, or something unforeseen."""
        self.errors.add(kind=error_kind(error))

    def set_git_head(self, committed_at: float | None) -> None:
        """Epoch seconds of the wanted commit; None outside git."""
        self._head_committed_at = committed_at

    def keep_hosts(self, wanted: Collection[str]) -> None:
        """Forget all others: the last success of a host that is wanted no more alarms nobody."""
        gone = {host for (host,) in self.last_success.series} - set(wanted)
        for family in self.families.values():
            for host in gone:
                if "host" in family.labels:
                    family.drop(host=host)
        self._problems = {key: each for key, each in self._problems.items() if key[1] not in gone}

    def render(self, passes_under_way: int = 0) -> bytes:
        """All of it, as Prometheus reads it."""
        from reconciler.daemon.prometheus_text import write_text  # takes long, and most runs need no metrics

        self.workers.set(passes_under_way)
        self.head_age.series.clear()
        if self._head_committed_at is not None:
            self.head_age.set(max(0.0, self._now() - self._head_committed_at))
        return write_text(self.families)

    def write_textfile(self, path: Path) -> None:
        """For node_exporter, which may read at any instant: whole or not at all. Raises ReconcileError."""
        try:
            write_whole(path, self.render(), mode=0o644)  # as long as it is not whole, it is not called *.prom
        except OSError as error:
            next_step = "make its folder, or name another file"
            raise ReconcileError(f"the metrics file {path} cannot be written: {error.strerror}", next_step) from error

    def resume(self, path: Path) -> None:
        """Go on counting from a textfile written before. One that is absent or odd counts for nothing.

        For `--once`: without it each pass would begin at 0, and a failed one would say there never was a success.
        """
        from reconciler.daemon.prometheus_text import read_text

        with suppress(OSError, ValueError):
            for name, labels, value in read_text(path.read_bytes().decode()):
                self._resume_series(name, labels, value)

    def _resume_series(self, name: str, labels: dict[str, str], value: float) -> None:
        limit, (base, _, part) = labels.pop("le", None), name.rpartition("_")
        family = self.families.get(name) or self.families.get(base)
        if family is None or labels.keys() != set(family.labels):
            return
        if isinstance(family, Family):
            if family.kind == "counter" or family is self.last_success:
                family.set(value, **labels)
        elif part == "sum":
            family.counts(labels).sum = value
        elif part == "bucket" and limit in family.limit_texts:
            family.counts(labels).within[family.limit_texts.index(limit)] = value


def drift_kinds(actions: Iterable[AnyAction], problem: str = "") -> tuple[str, ...]:
    """What somebody else had changed on the host, as far as a pass put it back or met it (`problem`: its kind)."""
    kinds = [action.drift for action in actions if action.drift]
    return tuple(dict.fromkeys([*kinds, *filter(None, [_DRIFT_PROBLEMS.get(problem)])]))


def readiness(last_good_pass_age_seconds: float | None, interval_seconds: float) -> tuple[int, str]:
    """Status and text of /readyz: 200 while the last good pass is no older than a few intervals."""
    if last_good_pass_age_seconds is None:
        return 503, "no pass has ended well yet\n"
    if last_good_pass_age_seconds > GOOD_PASSES_MISSED * interval_seconds:
        return 503, f"the last pass that ended well was {last_good_pass_age_seconds:.0f} s ago\n"
    return 200, "ready\n"


def liveness(loop_age_seconds: float, limit_seconds: float) -> tuple[int, str]:
    """Status and text of /healthz: 200 while the loop has turned lately, whatever became of the hosts."""
    if loop_age_seconds > limit_seconds:
        return 503, f"the loop has not turned for {loop_age_seconds:.0f} s\n"
    return 200, "alive\n"
