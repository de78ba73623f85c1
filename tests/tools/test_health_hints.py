"""What an answer to a health check means, in the cases that web frameworks make."""

from __future__ import annotations

import pytest

from reconciler.tools.health_hints import explain_answer

VISITOR = {"host": "a.de", "x-forwarded-proto": "https"}


@pytest.mark.parametrize(
    ("status", "location", "headers", "says"),
    [
        (400, "", VISITOR, "it was asked as a.de"),
        (400, "", {}, "it was asked as 127.0.0.1 with its port"),
        (421, "", VISITOR, "ALLOWED_HOSTS"),
        (401, "", VISITOR, "it asks for a login"),
        (403, "", VISITOR, "Rails: config.hosts"),
        (404, "", VISITOR, "it does not know this path"),
        (500, "", VISITOR, "have it log its errors"),
        (301, "https://a.de/ping", VISITOR, "X-Forwarded-Proto: https, as visitors come, and does not heed it"),
        (301, "https://a.de/ping", {"host": "a.de", "x-forwarded-proto": "http"}, "it wants https: health.headers can"),
        (301, "https://a.de/ping", {}, "it wants https: health.headers can"),
        (302, "/login?next=/ping", VISITOR, "redirects are not followed: health.path names a path that answers 2xx"),
        (301, "http://www.a.de/ping", {"host": "a.de"}, "it wants to be called www.a.de: health.host"),
        (308, "/ping/", VISITOR, "redirects are not followed"),
        (301, "http://[", VISITOR, "redirects are not followed"),
        (301, "", VISITOR, "redirects are not followed"),
    ],
)
def test_an_answer_is_explained(status: int, location: str, headers: dict[str, str], says: str) -> None:
    assert says in explain_answer(status, location, "/ping", headers)


@pytest.mark.parametrize("status", [0, 200, 502, 503])
def test_an_answer_of_a_program_that_may_still_be_starting_is_not_explained(status: int) -> None:
    assert explain_answer(status, "", "/ping", VISITOR) == ""
