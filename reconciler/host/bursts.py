"""Bounds how many things begin at once, so that each is done before its time limit however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LATE_SECONDS = 0.03


class Burst:
    """At most `most` at a time, and whatever takes longer than `seconds` no longer counts.

    What takes so long waits for a host, not for this machine: a hundred dead hosts must not hold up the others.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._free, self._seconds = asyncio.Semaphore(most), seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and end it with the block, or when the time is over."""
        await self._free.acquire()
        held = _Turn(self._free, self._seconds)
        held.begin()
        try:
            yield
        finally:
            held.end()


class _Turn:
    def __init__(self, free: asyncio.Semaphore, seconds: float) -> None:
        self._free, self._seconds = free, seconds
        self._counts = True
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look_at_time)

    def end(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._counts:
            self._counts = False
            self._free.release()

    def _look_at_time(self) -> None:
        assert self._timer is not None
        if asyncio.get_running_loop().time() - self._timer.when() > LATE_SECONDS:
            self.begin()  # it is this process that is slow, and more at once would make it slower
        else:
            self.end()
