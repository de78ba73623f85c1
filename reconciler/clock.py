"""The only clock: seconds that never go back, sleeping, and trying again after a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def now_seconds() -> float:
    """Monotonic seconds; only differences mean something."""
    return time.monotonic()


async def sleep_seconds(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))


def epoch_seconds() -> float:
    """Seconds since 1970, for people and dashboards; nothing is ordered by it."""
    return time.time()


async def retry(
    once: Callable[[], Awaitable[T]],
    passing: type[Exception],
    pauses_seconds: Iterable[float],
    sleep: Sleep = sleep_seconds,
) -> T:
    """What `once` returns: tried again after each pause for as long as it raises `passing`, then one last time."""
    for pause in pauses_seconds:
        try:
            return await once()
        except passing:
            await sleep(pause)
    return await once()
