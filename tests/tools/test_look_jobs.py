"""The jobs of an app in a look: read in full, and refused where a host lies."""

from __future__ import annotations

import pytest

from reconciler.model.machine import Layout
from reconciler.model.observed import ObservedApp
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.tools.look import read_reply
from tests.support.look_text import case, with_lines

UNITS = "/etc/systemd/system"
ENDS = (".service", ".timer", "@.service")
SUMS = {f"{UNITS}/hello--nightly{end}": f"{number}" * 64 for number, end in enumerate(ENDS, 1)}
RELEASE = "0.1.0-0123456789ab"
RECORDS = (
    *(f"inventory {sha}  {path}" for path, sha in SUMS.items()),
    "timer nightly",
    f"ran nightly 100 160 timeout 143 {RELEASE}",
    f"runs nightly 200 4000 {RELEASE}",
)
STARTER = f"unit hello--nightly.service activating 7 12 0 {'a' * 32} 0 success -"
TIMER = f"unit hello--nightly.timer active - - - {'b' * 32} - success Mon_2026-11-30_10:00:00_UTC"


def look(*records: str, sums: dict[str, str] = SUMS, units: tuple[str, ...] = (STARTER, TIMER)) -> ObservedApp:
    reply = with_lines(case("one_live_slot"), "app", *records)
    reply = with_lines(with_lines(reply, "units", *units), "sums", *(f"{sha}  {path}" for path, sha in sums.items()))
    return read_reply(reply, Layout()).apps["hello"]


def test_a_job_is_read_in_full() -> None:
    app = look(*RECORDS)

    files = tuple((path.rpartition("/")[2], sha) for path, sha in sorted(SUMS.items()))
    run = JobRun(100, 160, "timeout", 143, RELEASE)
    assert app.jobs == (ObservedJob("nightly", files, scheduled=True, runs_since=200, runs_release=RELEASE, last=run),)


def test_what_was_changed_or_deleted_is_seen() -> None:
    changed = {**SUMS, f"{UNITS}/hello--nightly.timer": "f" * 64}
    deleted = {path: sha for path, sha in SUMS.items() if not path.endswith("@.service")}

    assert [job.intact for job in look(*RECORDS, sums=changed).jobs] == [False]
    assert [job.intact for job in look(*RECORDS, sums=deleted).jobs] == [False]


@pytest.mark.parametrize(
    ("records", "units", "scheduled", "half"),
    [
        (RECORDS, (TIMER,), True, False),
        (RECORDS, (TIMER.replace("active", "inactive"),), False, True),
        ([each for each in RECORDS if each != "timer nightly"], (TIMER,), False, True),
        ([each for each in RECORDS if each != "timer nightly"], (), False, False),
    ],
)
def test_a_timer_must_run_and_be_enabled(
    records: list[str], units: tuple[str, ...], scheduled: bool, half: bool
) -> None:
    (job,) = look(*records, units=units).jobs
    assert (job.scheduled, job.half_scheduled) == (scheduled, half)


def test_the_note_of_a_run_that_is_over_does_not_count() -> None:
    (job,) = look(*RECORDS, units=(TIMER, STARTER.replace("activating 7", "failed -"))).jobs
    assert job.runs_since is None
    assert job.runs_release == ""


@pytest.mark.parametrize(
    "record",
    [
        "timer ../x",
        "timer Nightly",
        "jobs x",
        f"ran nightly 100 160 timeout 1000 {RELEASE}",
        f"ran nightly 100 160 timeout 256 {RELEASE}",
        f"ran nightly -1 160 timeout 1 {RELEASE}",
        f"ran nightly {'9' * 18} 160 timeout 1 {RELEASE}",
        "ran nightly 100 160 Timeout! 1 x",
        "ran nightly 100 160 timeout 1 ../x",
        f"runs nightly x 4000 {RELEASE}",
        f"runs nightly 1 4000 {RELEASE} more",
        "paused nightly soon me why",
    ],
)
def test_a_record_of_another_form_makes_this_app_unreadable(record: str) -> None:
    assert look(*(each for each in RECORDS if not each.startswith(("ran", "runs"))), record).unreadable
