"""metrics.py: what Prometheus reads, what a textfile keeps over runs, and how we say that we are well."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from reconciler.daemon.metrics import DRIFT_KINDS, Metrics, liveness, readiness
from reconciler.errors import GitError, InvalidDesiredState, Kind, ReconcileError
from reconciler.model.action import Blocked, Converged, Cutover, GoBack, RejectRelease, RepairFiles, StartAgain
from reconciler.model.action import StartInstance as Start
from reconciler.model.identity import Identity
from reconciler.model.outcome import Outcome

IDENTITY = Identity("2-000000000000", "e1", "u1")
NOW = 1_700_000_000.0


def metrics(now: Callable[[], float] = lambda: NOW) -> Metrics:
    return Metrics(now)


def samples(made: Metrics) -> dict[str, float]:
    """Every sample line, read as Prometheus does."""
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in made.render().decode().splitlines()
        if not line.startswith("#")
    }


def converged(app: str = "hello", host: str = "web1", version: str = "1") -> Outcome:
    return Outcome(Converged(host, app, version, "4000"))


def blocked(reason: str, app: str = "hello", host: str = "web1", serving: str = "", kind: Kind = "other") -> Outcome:
    return Outcome(Blocked(host, app, reason, serving=serving, kind=kind))


def test_a_pass_is_counted_with_its_apps() -> None:
    made = metrics()
    bad = Outcome(
        Blocked("web1", "shop", "version 3 failed here: its unit failed", serving="2", kind="quarantined"),
        (
            Start("web1", "shop", "version 2 → 3", "4001", IDENTITY),
            RejectRelease("web1", "shop", "", "4001", IDENTITY, ""),
        ),
    )

    made.observe_pass("web1", 0.3, [converged(), bad, converged(host="web2")], wants={"shop": "3"})
    made.observe_pass("web2", 0.02, [converged(host="web2")])

    seen = samples(made)
    assert {name: value for name, value in seen.items() if value and "_bucket" not in name} == {
        "reconcile_up": 1,
        'reconcile_pass_duration_seconds_sum{host="web1"}': 0.3,
        'reconcile_pass_duration_seconds_count{host="web1"}': 1,
        'reconcile_pass_duration_seconds_sum{host="web2"}': 0.02,
        'reconcile_pass_duration_seconds_count{host="web2"}': 1,
        'reconcile_passes_total{host="web1",outcome="blocked"}': 1,
        'reconcile_passes_total{host="web2",outcome="converged"}': 1,
        'reconcile_errors_total{kind="quarantined"}': 1,
        'reconcile_app_info{app="hello",host="web1",ready="true",runs="1",wants="1"}': 1,
        'reconcile_app_info{app="hello",host="web2",ready="true",runs="1",wants="1"}': 1,
        'reconcile_app_info{app="shop",host="web1",ready="false",runs="2",wants="3"}': 1,
        'reconcile_rollback_total{reason="reject"}': 1,
        'reconcile_actions_total{verb="start"}': 1,
        'reconcile_actions_total{verb="reject"}': 1,
        'reconcile_rollout_duration_seconds_count{app="shop",outcome="blocked"}': 1,
        'reconcile_last_success_timestamp_seconds{host="web2"}': NOW,
    }
    assert seen['reconcile_last_success_timestamp_seconds{host="web1"}'] == 0  # so that an alert on its age fires
    assert seen['reconcile_rollback_total{reason="goback"}'] == 0  # there from the start, so that a rate sees the first
    assert seen['reconcile_suspended{app="shop",host="web1"}'] == 0


def test_a_histogram_is_cumulative() -> None:
    made = metrics()

    for seconds in (0.01, 0.2, 1.0, 5000):
        made.observe_pass("web1", seconds, [converged()])

    buckets = [(name, value) for name, value in samples(made).items() if "_duration_seconds_bucket" in name]
    assert [name for name, _ in buckets][:2] == [
        f'reconcile_pass_duration_seconds_bucket{{host="web1",le="{le}"}}' for le in ("0.05", "0.1")
    ]
    assert [value for _, value in buckets] == [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert buckets[-1][0].endswith('le="+Inf"}')


def test_the_text_is_the_format_of_prometheus() -> None:
    """HELP, TYPE, then samples of that family only; labels escaped; the last line ended."""
    made = metrics()
    made.observe_pass("web1", 1.5, [replace(converged(version='1"\\\n2'), waited_seconds=3.0)])

    text = made.render().decode()

    assert 'wants="1\\"\\\\\\n2"' in text
    assert text.endswith("\n")
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family
            assert line.split()[3] in ("counter", "gauge", "histogram")
        else:
            assert re.fullmatch(rf'{family}(_bucket|_sum|_count)?(\{{([a-z]+="([^"\\]|\\.)*",?)+\}})? \S+', line), line
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_series_of_removed_apps_disappear() -> None:
    made = metrics()
    made.observe_pass("web1", 1, [converged(), converged("shop")])

    made.observe_pass("web1", 1, [converged("shop", version="2"), converged("old", version="")])
    made.observe_pass("web2", 1, [converged(host="web2")])
    made.keep_hosts({"web1"})

    shown = [name for name in samples(made) if "app_info" in name or "web2" in name]
    assert shown == ['reconcile_app_info{app="shop",host="web1",ready="true",runs="2",wants="2"}']


def test_an_app_busy_in_another_pass_keeps_its_samples() -> None:
    """The loop leaves out what is under way; an app that had failed does not become a success by that."""
    clock = [NOW]
    made = metrics(lambda: clock[0])
    wants = {"hello": "1", "shop": "2"}
    made.observe_pass("web1", 1, [converged(), converged("shop", version="2")], wants=wants)
    clock[0] += 60
    made.observe_pass("web1", 1, [converged(), blocked("x", "shop", serving="1")], wants=wants)
    clock[0] += 60
    made.observe_pass("web1", 1, [converged()], wants=wants)

    seen = samples(made)
    assert [name for name in seen if "app_info" in name] == [
        'reconcile_app_info{app="hello",host="web1",ready="true",runs="1",wants="1"}',
        'reconcile_app_info{app="shop",host="web1",ready="false",runs="1",wants="2"}',
    ]
    assert seen['reconcile_last_success_timestamp_seconds{host="web1"}'] == NOW

    made.observe_pass("web1", 1, [converged()], wants={"hello": "1"})

    assert len([name for name in samples(made) if "app_info" in name]) == 1
    assert samples(made)['reconcile_last_success_timestamp_seconds{host="web1"}'] == NOW + 120


def test_many_passes_make_no_more_series() -> None:
    """Reasons are free text and versions change: neither may become a label that grows without limit."""
    made = metrics()
    for number in range(1000):
        made.observe_pass(
            "web1", 1, [blocked(f"{number} is odd: {'x' * number}"), converged("shop", version=str(number))]
        )

    assert len(samples(made)) < 60
    assert 'reconcile_errors_total{kind="other"} 1000.0\n' in made.render().decode()


def test_suspension_drift_and_rollbacks_are_counted_by_kind() -> None:
    made = metrics()
    healed = Outcome(
        Converged("web1", "hello", "1", "4000"),
        (
            StartAgain("web1", "hello", "1 served before", "4000"),
            Start("web1", "hello", "not running", "4000", IDENTITY, drift="stopped"),
            RepairFiles("web1", "hello", "its env file or link was changed on the host", "4000", IDENTITY, drift="env"),
            Cutover("web1", "hello", "the route file was changed on the host", "4000", "i", drift="route"),
            Cutover("web1", "hello", "healthy", "4000", "i"),
            GoBack("web1", "hello", "it exited", "4001", "i", IDENTITY, "it exited", "4000"),
        ),
    )
    suspended = blocked("suspended by ann", "shop", kind="suspended")
    warned = blocked("drift, only reported: would repair slot 4000, x", "api", kind="drift")

    for _ in range(3):
        made.observe_pass("web1", 1, [healed, suspended, warned])
    made.observe_pass("web2", 1, [converged(host="web2")], suspended=["hello"])

    seen = {name: value for name, value in samples(made).items() if value}
    drift = {name: value for name, value in seen.items() if "drift_detected" in name}
    assert drift == {
        'reconcile_drift_detected_total{kind="stopped"}': 3,
        'reconcile_drift_detected_total{kind="env"}': 3,
        'reconcile_drift_detected_total{kind="route"}': 3,
        'reconcile_drift_detected_total{kind="reported"}': 1,  # met again and again, but the same one
    }
    assert seen['reconcile_rollback_total{reason="goback"}'] == 3
    assert seen['reconcile_suspended{app="shop",host="web1"}'] == 1
    assert seen['reconcile_suspended{app="hello",host="web2"}'] == 1


def test_errors_workers_and_the_age_of_the_commit_are_shown() -> None:
    clock = [NOW]
    made = metrics(lambda: clock[0])
    made.set_git_head(NOW - 100)
    made.observe_error(InvalidDesiredState(()))
    made.observe_error(GitError("no"))
    made.observe_error(KeyError("a bug"))

    clock[0] += 50
    seen = samples(made)

    assert seen["reconcile_git_head_age_seconds"] == 150
    assert seen["reconcile_active_workers"] == 0
    assert b"reconcile_active_workers 2.0\n" in made.render(passes_under_way=2)
    assert {name for name in seen if "errors" in name} == {
        f'reconcile_errors_total{{kind="{kind}"}}' for kind in ("invalid", "git", "error")
    }
    made.set_git_head(None)
    assert "reconcile_git_head_age_seconds" not in samples(made)


def test_counters_continue_from_the_textfile(tmp_path: Path) -> None:
    """`--once` on a timer: each run is a process of its own, and a failed one must not forget the last success."""
    path = tmp_path / "reconcile.prom"
    first = metrics()
    first.observe_pass("web1", 2, [converged(), converged("shop", version='a"b')])
    first.write_textfile(path)

    second = metrics(lambda: NOW + 60)
    second.resume(path)
    second.observe_pass("web1", 3, [blocked("x")])
    second.write_textfile(path)

    seen = samples(second)
    assert path.read_bytes() == second.render()
    assert seen['reconcile_last_success_timestamp_seconds{host="web1"}'] == NOW
    assert seen['reconcile_passes_total{host="web1",outcome="converged"}'] == 1
    assert seen['reconcile_passes_total{host="web1",outcome="blocked"}'] == 1
    assert seen['reconcile_pass_duration_seconds_sum{host="web1"}'] == 5
    assert seen['reconcile_pass_duration_seconds_bucket{host="web1",le="2.5"}'] == 1
    assert [name for name in seen if "app_info" in name] == [
        'reconcile_app_info{app="hello",host="web1",ready="false",runs="",wants=""}'
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["reconcile.prom"]
    assert path.stat().st_mode & 0o777 == 0o644  # node_exporter runs as a user of its own


def test_a_textfile_of_an_older_version_goes_on_counting(tmp_path: Path) -> None:
    """Its numbers were written without a point, its labels in another order."""
    path = tmp_path / "reconcile.prom"
    path.write_text(
        "# HELP reconcile_passes_total Passes.\n# TYPE reconcile_passes_total counter\n"
        'reconcile_passes_total{outcome="converged",host="web1"} 7\n'
        "# HELP reconcile_lease_wait_seconds Waits.\n# TYPE reconcile_lease_wait_seconds histogram\n"
        'reconcile_lease_wait_seconds_bucket{le="0.1"} 0\n'
        'reconcile_lease_wait_seconds_bucket{le="1"} 2\n'
        'reconcile_lease_wait_seconds_bucket{le="+Inf"} 3\n'
        "reconcile_lease_wait_seconds_sum 9.5\nreconcile_lease_wait_seconds_count 3\n"
        "# HELP reconcile_last_success_timestamp_seconds When.\n"
        "# TYPE reconcile_last_success_timestamp_seconds gauge\n"
        'reconcile_last_success_timestamp_seconds{host="we\\"b"} 1700000000.25\n'
    )
    made = metrics()
    made.resume(path)

    seen = samples(made)
    assert seen['reconcile_passes_total{host="web1",outcome="converged"}'] == 7
    assert seen['reconcile_lease_wait_seconds_bucket{le="1"}'] == 2
    assert seen["reconcile_lease_wait_seconds_count"] == 3
    assert seen["reconcile_lease_wait_seconds_sum"] == 9.5
    assert seen['reconcile_last_success_timestamp_seconds{host="we\\"b"}'] == NOW + 0.25


def test_who_writes_no_metrics_does_not_wait_for_the_library() -> None:
    """A pass over converged hosts is short; the import is not."""
    code = (
        "import sys; from reconciler.daemon.metrics import Metrics; Metrics(lambda: 0.0).observe_pass('web1', 1, [])\n"
    )
    code += "print([name for name in sys.modules if name.startswith('prometheus')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'reconcile_passes_total{host="a"} 1\n',
        b'reconcile_lease_wait_seconds_bucket{le="7"} 1\nreconcile_lease_wait_seconds_bucket 1\n',
        b"\xff\xfe",
        b"garbage\nreconcile_passes_total{ 1\n",
        b'reconcile_passes_total{host="a",outcome="x"} many\n',
        b'reconcile_passes_total{host="a",outcome="x"} NaN\nreconcile_up 7\nreconcile_nobody_total 3\nother_total 1\n',
    ],
)
def test_an_unreadable_textfile_is_ignored(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "reconcile.prom"
    path.write_bytes(content)
    made = metrics()

    made.resume(path)
    made.resume(tmp_path / "absent")

    assert made.render() == metrics().render()


def test_a_textfile_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ReconcileError, match=r"absent/reconcile\.prom cannot be written"):
        metrics().write_textfile(tmp_path / "absent" / "reconcile.prom")


def test_readiness_and_liveness() -> None:
    assert readiness(None, 60) == (503, "no pass has ended well yet\n")
    assert readiness(180, 60) == (200, "ready\n")
    assert readiness(181, 60) == (503, "the last pass that ended well was 181 s ago\n")
    assert liveness(5, 30) == (200, "alive\n")
    assert liveness(31, 30) == (503, "the loop has not turned for 31 s\n")


def test_error_kinds_are_unique_words() -> None:
    """They are labels: of a fixed list, each once."""
    kinds = (*get_args(Kind), *DRIFT_KINDS)

    assert [each for each in kinds if not re.fullmatch(r"[a-z]+(_[a-z]+)*", each)] == []
    assert len(set(DRIFT_KINDS)) == len(DRIFT_KINDS)
