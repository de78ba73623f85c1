"""The only clock: seconds that never go back, and sleeping."""

from __future__ import annotations

import asyncio
import time


def now_seconds() -> float:
    """Monotonic seconds; only differences mean something."""
    return time.monotonic()


async def sleep_seconds(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))


def epoch_seconds() -> float:
    """Seconds since 1970, for people and dashboards; nothing is ordered by it."""
    return time.time()
