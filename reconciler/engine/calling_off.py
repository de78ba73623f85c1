"""What is under way and not wanted any more: waits end at once, changes when they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

CALLED_OFF = "called off: there is something newer to do"
Key = tuple[str, str]  # app, host
T = TypeVar("T")


class CalledOff(Exception):
    """There is something newer to do than what this was about."""


@dataclass
class CallingOff:
    """What of one pass is called off: some of it, or all."""

    events: dict[Key, asyncio.Event] = field(default_factory=dict)
    everything: bool = False

    def __bool__(self) -> bool:
        """Something is."""
        return self.everything or any(event.is_set() for event in self.events.values())

    def call_off(self, key: Key) -> None:
        self._event(key).set()

    def call_off_everything(self) -> None:
        self.everything = True
        for event in self.events.values():
            event.set()

    def holds(self, key: Key) -> bool:
        """This is called off."""
        return self._event(key).is_set()

    async def unless(self, key: Key, work: Coroutine[None, None, T], *, ends: bool = True) -> T:
        """What came of the work. Raises CalledOff; by then work that `ends` is over, and other work was let finish."""
        event = self._event(key)
        if event.is_set():
            work.close()
            raise CalledOff
        if not ends:
            return await work
        job = asyncio.ensure_future(work)
        off = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({job, off}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise CalledOff
            return job.result()
        finally:
            off.cancel()
            job.cancel()
            await asyncio.wait({job})

    def _event(self, key: Key) -> asyncio.Event:
        event = self.events.setdefault(key, asyncio.Event())
        if self.everything:
            event.set()
        return event
