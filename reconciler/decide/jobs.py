"""The jobs of an app on one host: their units and timers are put in place once the app serves. Pure."""

from __future__ import annotations

from reconciler.decide.case import Case
from reconciler.decide.exposure import Note
from reconciler.model.action import Drift, ScheduleJobs
from reconciler.model.observed import ObservedApp
from reconciler.model.observed_job import ObservedJob
from reconciler.model.target import Target, TargetJob


def schedule_jobs(case: Case) -> ScheduleJobs | None:
    """Return the action that makes the jobs as desired, or None if they are."""
    return schedule_all_but(case.target, case.app)


def schedule_all_but(target: Target, app: ObservedApp, held_back: tuple[str, ...] = ()) -> ScheduleJobs | None:
    """Return the action that makes the jobs as desired but for those that are held back, or None if they are."""
    wanted = {job.name: job for job in target.jobs}
    names = sorted((wanted.keys() | {job.name for job in app.jobs}) - set(held_back))
    reasons = {name: why for name in names if (why := _difference(wanted.get(name), app.job(name)))}
    if not reasons and not app.jobs_unfinished:
        return None
    by_hand = bool(reasons) and all(_was_changed(wanted.get(name), app.job(name)) for name in reasons)
    why = "; ".join(dict.fromkeys(reasons.values())) or "their units were written only in part"
    drift: Drift | None = "job" if by_hand else None
    return ScheduleJobs(target.host, target.app, why, tuple(reasons), drift=drift, held_back=held_back)


def end_jobs(target: Target, app: ObservedApp, reason: str) -> ScheduleJobs | None:
    """Return the action that takes the units of all jobs away, before what they run with; None if there are none."""
    names = tuple(job.name for job in app.jobs if is_at_home(job))
    return ScheduleJobs(target.host, target.app, reason, names) if names or app.jobs_unfinished else None


def is_at_home(job: ObservedJob) -> bool:
    """True if the job has units here, or what is left of them."""
    return bool(job.files) or not job.intact or job.scheduled or job.half_scheduled


def _difference(wanted: TargetJob | None, job: ObservedJob) -> str | None:
    """The reason why the units of a job are not as desired, or None if they are."""
    known = job.files or not job.intact
    if wanted is None:
        return f"job {job.name} is no longer in the desired state" if is_at_home(job) else None
    if not known:
        return f"job {job.name} is new here"
    if job.files != wanted.files:
        changed = "the units of a job were changed on the host"
        return f"job {job.name} differs from the desired state" if job.intact else changed
    if job.suspended and (job.scheduled or job.half_scheduled):
        return f"job {job.name} is suspended"
    if wanted.timed and not job.suspended and not job.scheduled:
        return f"the timer of job {job.name} does not run, or not after a reboot"
    return None


def _was_changed(wanted: TargetJob | None, job: ObservedJob) -> bool:
    """True if somebody changed it on the host: then this is drift."""
    if wanted is None or not (job.files or not job.intact):
        return False
    return not job.intact or job.files == wanted.files


def failed_note(case: Case) -> Note | None:
    """Return a note on the jobs whose last run failed, None if there are none."""
    wanted = {job.name for job in case.target.jobs}
    failed = [job for job in case.app.jobs if job.name in wanted and job.last and job.last.failed]
    if not failed:
        return None
    text = "; ".join(f"job {job.name}: its last run {job.last.how}" for job in failed if job.last)
    return Note(text, f"reconcile logs {case.target.app} --job {failed[0].name}")


def zone_note(case: Case) -> Note | None:
    """Return a note on jobs whose times depend on the zone of the host, None if there are none."""
    zone = case.seen.facts.zone
    names = [job.name for job in case.target.jobs if not job.zoned] if zone else []
    if not names:
        return None
    return Note(
        f"job {', '.join(names)} runs by the clock of the host, which is not UTC but {zone}",
        f"write the zone behind the time in at, such as {zone}, or UTC",
    )
