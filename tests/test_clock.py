"""Trying again: only what may pass, after each pause, and one last time."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.clock import retry


class Passing(Exception):
    """Trouble that may be over in a moment."""


def try_with(*ends: Exception | str) -> tuple[str, list[str | float]]:
    """How it ended, and what happened on the way."""
    left, story = list(ends), list[str | float]()

    async def once() -> str:
        story.append("try")
        end = left.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    async def sleep(seconds: float) -> None:
        story.append(seconds)

    try:
        return asyncio.run(retry(once, Passing, (1, 4), sleep)), story
    except Exception as error:
        return repr(error), story


@pytest.mark.parametrize(
    ("ends", "ended", "story"),
    [
        (("yes",), "yes", ["try"]),
        ((Passing(), "yes"), "yes", ["try", 1, "try"]),
        ((Passing(), Passing(), "yes"), "yes", ["try", 1, "try", 4, "try"]),
        ((Passing(1), Passing(2), Passing(3)), "Passing(3)", ["try", 1, "try", 4, "try"]),
        ((ValueError("no"),), "ValueError('no')", ["try"]),
    ],
)
def test_only_temporary_errors_are_retryable(
    ends: tuple[Exception | str, ...], ended: str, story: list[str | float]
) -> None:
    assert try_with(*ends) == (ended, story)
