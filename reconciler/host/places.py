"""Bounds the connections of one process: how many are open, by its limit of open files, and how many are being made.

While a host waits for a place, the connection of another one that nobody uses is closed. That host connects again at
its next use, which costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from collections.abc import Coroutine
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakKeyDictionary

from reconciler.host.bursts import Burst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.host.transport import Writer

T = TypeVar("T")

KEPT_FREE = 128  # open files for all else: git, ssh, artifacts, the page
MOST_FILES = 65_536  # some programs that we start close every file that they could have open
MOST_CONNECTING = 64  # a login has a time limit, and thousands at once would all exceed it
CONNECTING_SECONDS = 1.0
IDLE_SECONDS = 0.5  # between a look and the action that follows from it


class Occupant(Protocol):
    """Has a connection that can be closed at any time at which it is not used."""

    def drop(self) -> None:
        """Close the connection."""
        ...


class Places:
    """One place per open connection. The places are shared by all hosts of an event loop."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._taken: set[Occupant] = set()
        self._uses: dict[Occupant, int] = {}
        self._timers: dict[Occupant, asyncio.TimerHandle] = {}
        self._idle: dict[Occupant, None] = {}  # the one that was used last is at the end
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._connecting = Burst(MOST_CONNECTING, CONNECTING_SECONDS)

    @contextmanager
    def use(self, occupant: Occupant) -> Iterator[None]:
        """Keep the connection of this host open during the block."""
        self.begin_use(occupant)
        try:
            yield
        finally:
            self.end_use(occupant)

    def begin_use(self, occupant: Occupant) -> None:
        """Keep the connection of this host open until `end_use`."""
        self._uses[occupant] = self._uses.get(occupant, 0) + 1
        self._forget_idle(occupant)

    def end_use(self, occupant: Occupant) -> None:
        """Take back one `begin_use`. After the last, and IDLE_SECONDS, the connection may be closed."""
        self._uses[occupant] -= 1
        if not self._uses[occupant]:
            del self._uses[occupant]
            if occupant in self._taken:
                later = asyncio.get_running_loop().call_later
                self._timers[occupant] = later(IDLE_SECONDS, self._note_idle, occupant)

    async def connect(self, occupant: Occupant, connecting: Coroutine[None, None, T]) -> T:
        """Wait for a place and connect. The place is taken until `leave`, but not if this raises."""
        try:
            await self._take(occupant)
        except BaseException:
            connecting.close()
            raise
        try:
            async with self._connecting.turn():
                return await connecting
        except BaseException:
            connecting.close()
            self.leave(occupant)
            raise

    def leave(self, occupant: Occupant) -> None:
        """Give the place back: the connection is closed."""
        self._taken.discard(occupant)
        self._forget_idle(occupant)
        self._admit()

    async def _take(self, occupant: Occupant) -> None:
        while occupant not in self._taken and self._is_full():
            if self._idle:
                # The last, not the oldest: the hosts are looked at in the same order in every pass, and so most of them
                # keep their connection from one pass to the next.
                self._idle.popitem()[0].drop()
                continue
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.done() or turn.cancelled():
                    self._admit()
        self._taken.add(occupant)

    def _is_full(self) -> bool:
        if self._most is None:
            self._most = open_files_allowed() - KEPT_FREE
        if len(self._taken) >= self._most:
            self._most = max(self._most, raise_open_files() - KEPT_FREE)
        return len(self._taken) >= max(self._most, 1)

    def _note_idle(self, occupant: Occupant) -> None:
        self._timers.pop(occupant, None)
        self._idle[occupant] = None
        self._admit()

    def _forget_idle(self, occupant: Occupant) -> None:
        self._idle.pop(occupant, None)
        if timer := self._timers.pop(occupant, None):
            timer.cancel()

    def _admit(self) -> None:
        """Let the host that has waited longest look for a place again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class HoldingWriter:
    """Keeps the connection to the host open until it is closed."""

    def __init__(self, writer: Writer, held: Places, host: Occupant) -> None:
        self._writer, self._held, self._host = writer, held, host
        self._open = True

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._held.end_use(self._host)
        self._writer.close()


def open_files_allowed() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def raise_open_files() -> int:
    """Raise the limit as far as this process may, up to MOST_FILES, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return open_files_allowed()


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, Places] = WeakKeyDictionary()


def places() -> Places:
    """Return the places of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _places:
        _places[loop] = Places()
    return _places[loop]
