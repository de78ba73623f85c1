"""An event loop without time of its own: when nothing is ready, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import random
import selectors
import time as real_time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

EPOCH = 1_900_000_000  # far from the present, so that a time of the real machine is seen at once


class Stuck(AssertionError):
    """Nothing is ready, and no timer is set: whoever still waits, waits for ever."""


class _NoSelector(selectors.SelectSelector):
    """Nothing is waited for but time, and that does not have to pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self._clock.seconds += max(0.0, timeout)
        return []


class Clock:
    """Virtual seconds."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: no real time, no threads; what is ready together runs in an order that the seed gives."""

    def __init__(self, clock: Clock, shuffle: random.Random | None = None) -> None:
        super().__init__(_NoSelector(clock))
        self.virtual, self._shuffle = clock, shuffle
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.virtual.seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """In place: a thread would bring its own time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        if self._shuffle is not None and len(self._ready) > 1:  # type: ignore[attr-defined]
            ready = list(self._ready)  # type: ignore[attr-defined]
            self._shuffle.shuffle(ready)
            self._ready.clear()  # type: ignore[attr-defined]
            self._ready.extend(ready)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@contextmanager
def virtual_time(clock: Clock) -> Iterator[None]:
    """`reconciler.clock` tells the virtual time."""
    fake = SimpleNamespace(monotonic=lambda: clock.seconds, time=lambda: EPOCH + clock.seconds)
    with mock.patch("reconciler.clock.time", fake):
        yield


def real_seconds() -> float:
    return real_time.monotonic()
