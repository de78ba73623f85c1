"""The only clock: monotonic time, the date, sleeping, and retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def now_seconds() -> float:
    """Monotonic seconds. Only differences between two values have a meaning."""
    return time.monotonic()


async def sleep_seconds(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))


def epoch_seconds() -> float:
    """Seconds since 1970, for people and dashboards. Never order events by it: this clock can go back."""
    return time.time()


async def retry(
    once: Callable[[], Awaitable[T]],
    passing: type[Exception],
    pauses_seconds: Iterable[float],
    sleep: Sleep = sleep_seconds,
) -> T:
    """Call `once` and return its result. While it raises `passing`, wait for the next pause and call it again.

    After the last pause it is called once more, and its error goes to the caller.
    """
    for pause in pauses_seconds:
        try:
            return await once()
        except passing:
            await sleep(pause)
    return await once()
