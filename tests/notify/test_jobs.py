"""A job that fails is told once, and once when it has ended well again."""

from __future__ import annotations

from reconciler.daemon.metrics import Metrics
from reconciler.model.action import Converged
from reconciler.model.observed_job import JobRun, ObservedJob
from reconciler.model.outcome import Outcome
from reconciler.notify.states import states_of_jobs
from reconciler.notify.transitions import Key, LastReport, transitions

FILES = (("hello--nightly.service", "1" * 64),)


def outcome(result: str, status: int, ended: int = 160) -> Outcome:
    job = ObservedJob("nightly", FILES, last=JobRun(100, ended, result, status, "1-0123456789ab"))
    return Outcome(Converged("web1", "hello", "1", "4000"), jobs=(job, ObservedJob("never", FILES)))


def test_a_failing_job_is_told_once_and_once_when_it_recovers() -> None:
    texts, before = list[str](), dict[Key, LastReport]()
    runs = [("success", 0), ("exit-code", 3), ("exit-code", 3), ("success", 0), ("success", 0), ("timeout", 143)]
    for now, (result, status) in enumerate(runs, 1000):
        news = transitions(before, states_of_jobs(outcome(result, status)), float(now))
        texts += [f"{notice.event} {notice.app}: {notice.text}" for notice in news.notices]
        before = dict(news.reported)

    assert texts == [
        "failed hello job nightly: its last run ended with exit status 3",
        "recovered hello job nightly: runs well as wanted again",
        "failed hello job nightly: its last run took too long and was stopped",
    ]


def test_the_metrics_have_the_end_of_the_first_certificate() -> None:
    metrics = Metrics(lambda: 1000.0)

    metrics.observe_pass("lb1", 1.0, [Outcome(Converged("lb1", "hello", "1", "edge"), certificate_ends=5)], wants={})

    series = 'reconcile_certificate_end_timestamp_seconds{app="hello",host="lb1"}'
    assert f"{series} 5.0" in metrics.render().decode()
    metrics.observe_pass("lb1", 1.0, [Outcome(Converged("lb1", "hello", "1", "edge"))], wants={})
    assert series not in metrics.render().decode()


def test_the_metrics_have_the_last_run_of_each_job() -> None:
    metrics = Metrics(lambda: 1000.0)

    metrics.observe_pass("web1", 1.0, [outcome("exit-code", 3)], wants={"hello": "1"})

    text = metrics.render().decode()
    assert 'reconcile_job_failed{app="hello",host="web1",job="nightly"} 1.0' in text
    assert 'reconcile_job_last_end_timestamp_seconds{app="hello",host="web1",job="nightly"} 160.0' in text
    metrics.observe_pass("web1", 1.0, [outcome("success", 0)], wants={"hello": "1"})
    assert 'reconcile_job_failed{app="hello",host="web1",job="nightly"} 0.0' in metrics.render().decode()
