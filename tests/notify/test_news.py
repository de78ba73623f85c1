"""What a watch says of passes that find the same thing again and again."""

from __future__ import annotations

from reconciler.commands.watch import News
from reconciler.errors import GitError
from reconciler.model.action import Blocked, Converged, RemoveRoute
from reconciler.model.outcome import Outcome

WELL = Outcome(Converged("web1", "hello", "1", "4000"))
AWAY = Outcome(Blocked("web1", "hello", "unreachable"))
CRASHING = Outcome(Blocked("web1", "hello", "exits again and again"))
DONE = Outcome(Converged("web1", "hello", "1", "4000"), (RemoveRoute("web1", "hello", "no route is desired"),))


def test_the_same_trouble_is_said_once_and_so_is_its_end() -> None:
    news = News()

    said = [news.is_in([each]) for each in (WELL, AWAY, AWAY, CRASHING, CRASHING, WELL, WELL, AWAY)]

    assert said == [False, True, False, True, False, True, False, True]


def test_the_same_refusal_is_said_once() -> None:
    news = News()

    assert [news.is_new(GitError(why)) for why in ("not signed", "not signed", "no answer")] == [True, False, True]


def test_what_was_done_is_always_said() -> None:
    news = News()

    assert [news.is_in([each]) for each in (DONE, DONE)] == [True, True]


def test_an_app_that_is_left_out_of_a_pass_is_no_news() -> None:
    """It is still under way."""
    news = News()
    news.is_in([AWAY])

    assert [news.is_in([]), news.is_in([AWAY])] == [False, False]
