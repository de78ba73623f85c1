"""`reconcile jobs` and `reconcile run`: what they say of a job, without a host."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.commands.jobs import job_row, jobs_text
from reconciler.commands.run import ended_text, read_run
from reconciler.model.job import Job
from reconciler.model.job_times import next_times
from reconciler.model.observed import HostFacts, ObservedApp, ObservedHost, Unreachable
from reconciler.model.observed_job import JobRun, ObservedJob

NOW = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)  # the night after it, daylight saving ends in Vienna
RAN = JobRun(1_793_000_000, 1_793_000_075, "exit-code", 3, "1-0123456789ab")
FILES = (("hello--nightly.service", "1" * 64),)


def seen(job: ObservedJob, zone: str = "") -> ObservedHost:
    return ObservedHost("web1", HostFacts(zone=zone), apps={"hello": ObservedApp(jobs=(job,))})


def test_the_next_times_follow_daylight_saving() -> None:
    vienna = ["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z", "2026-10-27T02:00:00Z"]
    job = Job(run="x", at="*-*-* 03:00 Europe/Vienna")

    assert next_times(job, "", NOW) == vienna
    assert next_times(Job(run="x", at="*-*-* 03:00"), "Europe/Vienna", NOW) == vienna
    assert next_times(Job(run="x", at="*-*-* 03:00"), "No/Where", NOW)[0] == "2026-10-25T03:00:00Z"
    assert next_times(Job(run="x", at="2026-10-24 12:30 UTC"), "", NOW) == ["2026-10-24T12:30:00Z"]
    assert next_times(Job(run="x"), "", NOW) == []


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (ObservedJob("nightly", FILES, scheduled=True), "scheduled"),
        (ObservedJob("nightly", FILES), "its timer does not run"),
        (ObservedJob("nightly"), "not on the host yet"),
        (ObservedJob("nightly", FILES, suspended="by me: why"), "suspended by me: why"),
        (ObservedJob("nightly", FILES, runs_since=1_793_000_000), "runs since 2026-10-26 07:33:20 UTC"),
    ],
)
def test_a_row_says_what_the_job_does(found: ObservedJob, state: str) -> None:
    row = job_row("hello", "web1", "nightly", Job(run="x", at="hourly"), seen(found), NOW)

    assert (row["state"], row["problem"]) == (state, None)


def test_a_failed_run_and_an_unreachable_host_are_problems() -> None:
    job = Job(run="x")
    failed = job_row("hello", "web1", "nightly", job, seen(ObservedJob("nightly", FILES, last=RAN)), NOW)
    lost = job_row("hello", "web1", "nightly", job, Unreachable("web1", "no route"), NOW)

    assert failed["problem"] == "its last run ended with exit status 3"
    assert lost["problem"] == "unreachable: no route"
    assert jobs_text([failed]).splitlines()[1] == (
        "hello  nightly  web1  -     by hand  2026-10-26 07:33:20 UTC: ended with exit status 3 after 75 s"
    )
    assert jobs_text([]) == "no app has jobs\n"


@pytest.mark.parametrize(
    "line", ["", "ran 1 2 success 0", "ran 1 2 success 256 x", "ran 1 2 Success 0 x", "ran x 2 success 0 x", "hello"]
)
def test_a_line_of_another_form_is_no_run(line: str) -> None:
    assert read_run(line) is None


def test_the_last_line_of_a_run_says_how_it_ended() -> None:
    ran = read_run("ran 100 160 timeout 143 1-0123456789ab")
    assert ran == JobRun(100, 160, "timeout", 143, "1-0123456789ab")
    assert ended_text(ran) == "took too long and was stopped after 60 s"
