"""The pure part of notify/: which changes make a message, and its text."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import quote

import pytest

from reconciler.model.action import Blocked, Converged, Drain, PruneReleases, StartAgain
from reconciler.model.outcome import Outcome
from reconciler.notify.formats import lines
from reconciler.notify.states import State, fixed_text, state_of
from reconciler.notify.transitions import DAY_SECONDS, Key, LastReport, Notice, transitions
from reconciler.tools.masks import mask

HERE: Key = ("hello", "web1")
GOOD = State("1")
BAD = State("", "quarantined", "d1", "version 2 failed here: its unit failed", serving="1")


class History:
    """One app over passes a minute apart; `told` is what went out."""

    def __init__(self, events: tuple[str, ...] = ("failed", "recovered", "converged")) -> None:
        self.events, self.now = events, 1_700_000_000.0
        self.before: dict[Key, LastReport] = {}
        self.told: list[Notice] = []

    def passes(self, *states: State, every: float = 60) -> History:
        for state in states:
            news = transitions(self.before, {HERE: state}, self.now, events=self.events)
            self.before = dict(news.reported)
            self.told += news.notices
            self.now += every
        return self

    @property
    def words(self) -> list[str]:
        return [f"{each.event}: {each.text}" for each in self.told]


def blocked(reason: str, next_step: str = "", **more: object) -> State:
    return state_of(Outcome(Blocked("web1", "hello", reason, next_step, **more)))  # type: ignore[arg-type]


def test_a_failure_and_its_end_send_one_message_each() -> None:
    history = History().passes(GOOD, BAD, BAD, BAD, GOOD, GOOD)

    assert history.words == [
        "failed: version 2 failed here: its unit failed; version 1 still runs",
        "recovered: runs 1 as wanted again",
    ]


def test_an_app_converged_at_first_sight_sends_no_message() -> None:
    assert History().passes(GOOD, GOOD).told == []


def test_a_rollout_in_the_first_pass_sends_a_message() -> None:
    """As in CI, where nothing is remembered."""
    assert History().passes(State("2", changed="start slot 4001, 2: version 1 → 2")).words == [
        "converged: runs 2 (start slot 4001, 2: version 1 → 2)"
    ]


def test_a_new_version_and_repaired_drift_go_to_the_channels_that_ask_for_them() -> None:
    passes = (GOOD, State("2", changed="start slot 4001, 2: version 1 → 2"), State("2"))
    healed = State("2", changed="restart slot 4001: not running")

    assert History().passes(*passes, healed, State("2")).words == [
        "converged: runs 2 (start slot 4001, 2: version 1 → 2)",
        "converged: runs 2 (restart slot 4001: not running)",
    ]
    assert History(("failed", "recovered")).passes(*passes, healed, BAD, GOOD).words == [
        "failed: version 2 failed here: its unit failed; version 1 still runs",
        "recovered: runs 1 as wanted again",
    ]


def test_a_different_problem_sends_another_message() -> None:
    other = State("", "quarantined", "d2", "version 3 failed here: it exited … times")

    assert [each.state.digest for each in History().passes(BAD, BAD, other, other).told] == ["d1", "d2"]


def test_a_lasting_problem_is_repeated_daily() -> None:
    days = 3
    history = History().passes(*[BAD] * (days * 1440 + 10))

    assert [(each.reminder, each.since) for each in history.told] == [
        (False, 1_700_000_000.0),
        *[(True, 1_700_000_000.0)] * days,
    ]
    assert history.words[1] == "failed: still: version 2 failed here: its unit failed; version 1 still runs"


@pytest.mark.parametrize("problem", ["waiting", "locked", "suspended"])
def test_waits_and_suspensions_send_no_message(problem: str) -> None:
    between = State("", problem, "d9", "waits")

    assert [each.event for each in History().passes(GOOD, between, GOOD, BAD, between, BAD, GOOD).told] == [
        "failed",
        "recovered",
    ]


def test_a_flapping_problem_over_a_thousand_passes_sends_few_messages() -> None:
    history = History().passes(*[BAD, GOOD] * 500)

    assert len(history.told) <= 12
    assert [each.flapping for each in history.told][:5] == [False, False, False, False, True]
    assert "comes and goes" in history.words[-1]


def test_the_end_of_a_flapping_problem_is_reported_eventually() -> None:
    """Messages held back while it flaps are sent later, so the last one is always right."""
    for last in (GOOD, BAD):
        history = History().passes(*[BAD, GOOD] * 20, *[last] * 3000)

        assert [each for each in history.told if not each.reminder][-1].state == last


def test_texts_that_vary_for_an_unreachable_host_are_one_problem() -> None:
    seen = [
        blocked("no answer in time", "ssh web1", kind="unreachable"),
        blocked("Connection refused", "ssh web1", kind="unreachable"),
        blocked(
            "host web1: the connection broke: reset",
            "run a pass again: the interrupted action may have been completed",
            kind="unreachable",
        ),
    ]

    assert [each.problem for each in seen] == ["unreachable"] * 3
    assert len(History().passes(*seen * 100).told) == 1


def test_a_clock_set_back_neither_suppresses_nor_floods_messages() -> None:
    history = History().passes(GOOD, BAD)
    history.now -= 400 * DAY_SECONDS

    history.passes(*[BAD] * 1000, GOOD)

    assert [each.event for each in history.told] == ["failed", "failed", "recovered"]


def test_a_removed_app_sends_a_message_and_is_forgotten() -> None:
    removed = State("", changed="remove: no longer in the desired state")
    history = History().passes(GOOD, removed)

    assert history.words == ["converged: is removed, as wanted (remove: no longer in the desired state)"]
    assert history.before == {}


def test_apps_outside_a_pass_are_remembered_unless_they_no_longer_exist() -> None:
    before = {HERE: LastReport(BAD, 1.0), ("shop", "web2"): LastReport(GOOD, 1.0), ("", ""): LastReport(BAD, 1.0)}

    assert transitions(before, {}, 2.0).reported == before
    assert set(transitions(before, {}, 2.0, known=[HERE]).reported) == {HERE, ("", "")}


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("/ping not healthy within 60 s; the answer was 500", "/ping not healthy within … s; the answer was 500"),
        ("it exited 12 times, pid 4711", "it exited … times, pid …"),
        ("version 1.10 → 1.2.3-rc.1, slot 4001", "version 1.10 → 1.2.3-rc.1, slot 4001"),
        ("took 1.5s, 20 MiB, 3.2 % free", "took …s, … MiB, … % free"),
        ("at 2026-11-23T03:34:02Z and 03:34:02 or 2026-11-23 03:34:02.5", "at … and … or …"),
        (f"start {'0123456789abcdef' * 2} at 0x7fff", "start … at …"),
        ("a\nb\t c\x1b[31m d\u202e", "a b c[31m d"),
    ],
)  # fmt: skip
def test_a_message_text_contains_nothing_that_varies_between_passes(text: str, fixed: str) -> None:
    assert fixed_text(text) == fixed


def test_a_text_is_short() -> None:
    assert len(fixed_text("x" * 5000)) == 300


def test_durations_do_not_make_a_new_problem() -> None:
    first, second = (blocked(f"slot 4000 (1) serves but is not healthy: timed out after {n} s") for n in (3, 7.25))

    assert first == second


def test_secrets_are_masked_in_every_form() -> None:
    secret = 'p@ss/w"ord\\ é\nsecond line of it'
    forms = [
        secret,
        repr(secret),
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        'p@ss/w\\"ord\\\\ \\u00e9\\nsecond line of it',
        "only the second line of it",
    ]

    for form in forms:
        text = mask(f"before {form} after", [secret])
        assert "ord" not in text, text
        assert "second line" not in text
        assert "***" in text


def test_housekeeping_sends_no_message() -> None:
    quiet = (Drain("web1", "hello", "x", "4000"), PruneReleases("web1", "hello", "x", ("1-0",)))
    end = Converged("web1", "hello", "1", "4000")

    assert state_of(Outcome(end, quiet)).changed == ""
    assert (
        state_of(Outcome(end, (*quiet, StartAgain("web1", "hello", "why", "4000")))).changed == "restart slot 4000: why"
    )


def test_a_dead_host_with_twenty_apps_is_one_line() -> None:
    dead = blocked("no answer in time", "ssh web1", kind="unreachable")
    notices = [Notice("failed", f"app{n:02}", "web1", dead, 0.0) for n in range(20)]
    notices += [Notice("failed", "hello", host, BAD, 0.0) for host in ("web3", "web2")]

    assert [(line.who, line.text) for line in lines(notices)] == [
        ("app00, app01, app02, app03, app04 and 15 more on web1", "no answer in time"),
        ("hello on web2, web3", "version 2 failed here: its unit failed; version 1 still runs"),
    ]


def test_states_that_read_the_same_are_the_same() -> None:
    assert replace(BAD, text="told otherwise", serving="0") == BAD


def test_a_hook_that_failed_is_reported_once_and_its_end_is_no_news() -> None:
    """The app ran as desired all the time."""
    failed = State("", "hook", "d2", "version 1 runs, but after_rollout failed", serving="1")
    first = transitions({HERE: LastReport(GOOD, 0)}, {HERE: failed}, 10)
    later = transitions(first.reported, {HERE: GOOD}, 20)

    assert [notice.event for notice in first.notices] == ["failed"]
    assert later.notices == ()
    assert later.reported[HERE].state == GOOD
