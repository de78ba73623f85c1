"""The jobs of an app: their units are written once the app serves, put back when changed, and gone before the app."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.expected import expected_host
from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, Converged, PruneReleases, ScheduleJobs
from reconciler.model.observed import ObservedApp, ObservedHost
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.model.target import Target, TargetJob
from tests.support.world import World, wanted

WHERE = "a", "hello"
FILES = (
    ("hello--nightly.service", "1" * 64),
    ("hello--nightly.timer", "2" * 64),
    ("hello--nightly@.service", "3" * 64),
)
NIGHTLY = TargetJob("nightly", FILES, timed=True)
BY_HAND = TargetJob("reindex", (("hello--reindex@.service", "4" * 64),))
TARGET = wanted(jobs=(NIGHTLY, BY_HAND))
SEEN = ObservedJob("nightly", FILES, scheduled=True)
SEEN_BY_HAND = ObservedJob("reindex", BY_HAND.files)
EDITED = replace(SEEN, files=(("hello--nightly.service", "f" * 64), *FILES[1:]))
OLD = ObservedJob("old", FILES)


def converged(target: Target) -> ObservedHost:
    world = World()
    seen = world.look()
    while not isinstance(step := next_action(target, seen), Converged):
        assert not isinstance(step, Blocked)
        seen = world.apply(step, target)
    return world.look()


def with_jobs(*jobs: ObservedJob, unfinished: bool = False) -> ObservedHost:
    seen = converged(TARGET)
    return seen.with_app("hello", replace(seen.app("hello"), jobs=jobs, jobs_unfinished=unfinished))


def test_jobs_are_scheduled_once_the_app_serves() -> None:
    world = World()
    seen = world.look()
    while not isinstance(step := next_action(TARGET, seen), Converged | Blocked):
        seen = world.apply(step, TARGET)

    assert [action.verb for action in world.actions][-2:] == ["confirm", "schedule"]
    assert seen.app("hello").jobs == (SEEN, SEEN_BY_HAND)


@pytest.mark.parametrize(
    ("jobs", "why", "which", "drift"),
    [
        ((SEEN_BY_HAND,), "job nightly is new here", ("nightly",), None),
        ((SEEN, SEEN_BY_HAND, ObservedJob("old", FILES)), "job old is no longer in the desired state", ("old",), None),
        (
            (EDITED, SEEN_BY_HAND),
            "job nightly differs from the desired state",
            ("nightly",),
            None,
        ),
        (
            (replace(EDITED, intact=False), SEEN_BY_HAND),
            "the units of a job were changed on the host",
            ("nightly",),
            "job",
        ),
        (
            (replace(SEEN, files=(), intact=False, scheduled=False), SEEN_BY_HAND),
            "the units of a job were changed on the host",
            ("nightly",),
            "job",
        ),
        (
            (replace(SEEN, scheduled=False, half_scheduled=True), SEEN_BY_HAND),
            "the timer of job nightly does not run, or not after a reboot",
            ("nightly",),
            "job",
        ),
        ((replace(SEEN, suspended="by me"), SEEN_BY_HAND), "job nightly is suspended", ("nightly",), "job"),
    ],
)
def test_what_differs_is_scheduled_again(
    jobs: tuple[ObservedJob, ...], why: str, which: tuple[str, ...], drift: str | None
) -> None:
    step = next_action(TARGET, with_jobs(*jobs))

    assert step == ScheduleJobs(*WHERE, why, which, drift=drift)  # type: ignore[arg-type]
    after = expected_host(with_jobs(*jobs), step, TARGET)
    assert isinstance(next_action(TARGET, after), Converged)


def test_a_suspended_job_whose_timer_is_off_is_as_it_should_be() -> None:
    paused = replace(SEEN, scheduled=False, suspended="by me")
    assert isinstance(next_action(TARGET, with_jobs(paused, SEEN_BY_HAND)), Converged)


def test_units_that_were_written_in_part_are_written_again() -> None:
    step = next_action(TARGET, with_jobs(SEEN, SEEN_BY_HAND, unfinished=True))
    assert step == ScheduleJobs(*WHERE, "their units were written only in part", ())


def test_drift_of_a_job_is_only_reported_where_that_is_asked_and_a_new_job_is_not_drift() -> None:
    warns = replace(TARGET, only_report_drift=True)
    stopped = with_jobs(replace(SEEN, scheduled=False), SEEN_BY_HAND)

    blocked = next_action(warns, stopped)

    assert isinstance(blocked, Blocked)
    assert blocked.kind == "drift"
    assert isinstance(next_action(warns, with_jobs(SEEN_BY_HAND)), ScheduleJobs)


def test_the_release_of_a_run_that_is_under_way_is_not_pruned() -> None:
    seen = with_jobs(SEEN, SEEN_BY_HAND)
    old, former = "0-" + "1" * 12, "0-" + "2" * 12
    app = seen.app("hello")
    kept = replace(app, releases=(old, former, *app.releases))
    target = replace(TARGET, keep_releases=2)
    runs = replace(kept, jobs=(replace(SEEN, runs_since=1, runs_release=old), SEEN_BY_HAND))

    assert next_action(target, seen.with_app("hello", kept)) == PruneReleases(*WHERE, "the last 2 are kept", (old,))
    assert isinstance(next_action(target, seen.with_app("hello", runs)), Converged)


def test_an_app_that_is_removed_loses_its_jobs_first() -> None:
    gone = Target.removal(*WHERE)
    seen = ObservedHost("a", apps={"hello": ObservedApp(jobs=(SEEN,))})

    first = next_action(gone, seen)

    assert first == ScheduleJobs(*WHERE, "no longer in the desired state", ("nightly",))
    after = expected_host(seen, first, gone)
    assert after.app("hello") == ObservedApp()


@pytest.mark.parametrize(
    "left",
    [
        replace(OLD, files=(), intact=False),
        ObservedJob("old", scheduled=True),
        ObservedJob("old", half_scheduled=True),
    ],
    ids=["edited", "scheduled", "half scheduled"],
)
def test_whatever_is_left_of_a_job_goes_with_it(left: ObservedJob) -> None:
    assert next_action(TARGET, with_jobs(SEEN, SEEN_BY_HAND, left)) == ScheduleJobs(
        *WHERE, "job old is no longer in the desired state", ("old",)
    )
    gone = ObservedHost("a", apps={"hello": ObservedApp(jobs=(left,))})
    assert next_action(Target.removal(*WHERE), gone) == ScheduleJobs(*WHERE, "no longer in the desired state", ("old",))


def test_a_job_of_which_only_its_last_run_is_known_needs_nothing() -> None:
    ran = ObservedJob("old", last=JobRun(10, 20, "exit-code", 3, "1-000000000000"))

    step = next_action(TARGET, with_jobs(SEEN, SEEN_BY_HAND, ran))

    assert isinstance(step, Converged)
    assert step.note is None, "and what it ended with is nobody's concern any more"
    assert isinstance(next_action(TARGET, with_jobs(replace(SEEN, half_scheduled=True), SEEN_BY_HAND)), Converged)


def test_units_in_part_are_taken_away_before_the_app_even_if_none_is_known() -> None:
    seen = ObservedHost("a", apps={"hello": ObservedApp(jobs_unfinished=True, releases=("1-000000000000",))})

    assert next_action(Target.removal(*WHERE), seen) == ScheduleJobs(*WHERE, "no longer in the desired state", ())


def test_several_reasons_are_all_said_and_one_that_is_no_drift_makes_it_none() -> None:
    """In the order of their names, each reason once."""
    stopped, suspended = (
        replace(SEEN, scheduled=False),
        replace(SEEN, half_scheduled=True, scheduled=False, suspended="by me"),
    )
    new = TargetJob("another", FILES)
    target = replace(TARGET, jobs=(NIGHTLY, BY_HAND, new))

    step = next_action(target, with_jobs(stopped, SEEN_BY_HAND, OLD))

    assert step == ScheduleJobs(
        *WHERE,
        "job another is new here; the timer of job nightly does not run, or not after a reboot; "
        "job old is no longer in the desired state",
        ("another", "nightly", "old"),
    )
    assert next_action(TARGET, with_jobs(suspended, SEEN_BY_HAND)) == ScheduleJobs(
        *WHERE, "job nightly is suspended", ("nightly",), drift="job"
    )


def test_the_jobs_whose_last_run_failed_are_a_note() -> None:
    failed, well = JobRun(10, 20, "exit-code", 3, "1-000000000000"), JobRun(10, 20, "success", 0, "1-000000000000")
    both = with_jobs(replace(SEEN, last=failed), replace(SEEN_BY_HAND, last=failed))

    end = next_action(TARGET, both)

    assert isinstance(end, Converged)
    assert end.note == f"job nightly: its last run {failed.how}; job reindex: its last run {failed.how}"
    assert end.next_step == "reconcile logs hello --job nightly"
    one = next_action(TARGET, with_jobs(replace(SEEN, last=well), replace(SEEN_BY_HAND, last=failed)))
    assert isinstance(one, Converged)
    assert (one.note, one.next_step) == (
        f"job reindex: its last run {failed.how}",
        "reconcile logs hello --job reindex",
    )


def test_a_note_says_that_a_time_without_a_zone_is_the_hosts() -> None:
    target = replace(TARGET, jobs=(replace(NIGHTLY, zoned=False), BY_HAND))
    seen = with_jobs(SEEN, SEEN_BY_HAND)
    elsewhere = replace(seen, facts=replace(seen.facts, zone="Europe/Vienna"))

    end = next_action(target, elsewhere)

    assert isinstance(end, Converged)
    assert end.note == "job nightly runs by the clock of the host, which is not UTC but Europe/Vienna"
    assert end.next_step == "write the zone behind the time in at, such as Europe/Vienna, or UTC"
    assert next_action(target, seen) == replace(end, note=None, next_step=None)
    both = replace(TARGET, jobs=(replace(NIGHTLY, zoned=False), replace(BY_HAND, zoned=False)))
    assert (next_action(both, elsewhere).note or "").startswith("job nightly, reindex runs by the clock")  # type: ignore[union-attr]
