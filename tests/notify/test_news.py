"""What a watch prints about repeated passes with the same result."""

from __future__ import annotations

from reconciler.commands.watch import News
from reconciler.errors import GitError
from reconciler.model.action import Blocked, Converged, RemoveRoute
from reconciler.model.outcome import Outcome

WELL = Outcome(Converged("web1", "hello", "1", "4000"))
AWAY = Outcome(Blocked("web1", "hello", "unreachable"))
CRASHING = Outcome(Blocked("web1", "hello", "exits again and again"))
DONE = Outcome(Converged("web1", "hello", "1", "4000"), (RemoveRoute("web1", "hello", "no route is desired"),))


def test_a_lasting_problem_and_its_end_are_printed_once() -> None:
    news = News()

    said = [news.is_in([each]) for each in (WELL, AWAY, AWAY, CRASHING, CRASHING, WELL, WELL, AWAY)]

    assert said == [False, True, False, True, False, True, False, True]


def test_a_lasting_refusal_is_printed_once() -> None:
    news = News()

    assert [news.is_new(GitError(why)) for why in ("not signed", "not signed", "no answer")] == [True, False, True]


def test_actions_are_always_printed() -> None:
    news = News()

    assert [news.is_in([each]) for each in (DONE, DONE)] == [True, True]


def test_an_app_outside_the_pass_is_not_printed() -> None:
    """It is still under way."""
    news = News()
    news.is_in([AWAY])

    assert [news.is_in([]), news.is_in([AWAY])] == [False, False]
