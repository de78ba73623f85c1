"""How many commands run at once on one connection: sshd refuses what is beyond its MaxSessions, 10 unless it is set."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

MOST_SESSIONS = 6  # below sshd's 10, for it still counts a session that has just ended
LONG_SECONDS = 90  # a command that may take longer leaves one session to the others
TRY_MORE_AFTER = 50  # commands that ran since sshd refused one: that may have been by chance


@dataclass(eq=False)
class Turn:
    """One command's place: it waits, then it may run."""

    long: bool
    come: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass
class Sessions:
    """Turns, first come first served. Uploads and other long commands never hold the last session."""

    limit: int = MOST_SESSIONS
    _running: set[Turn] = field(default_factory=set)
    _waiting: deque[Turn] = field(default_factory=deque)
    _since_refused: int = 0

    @property
    def alone(self) -> bool:
        """Only one command runs, the caller's."""
        return len(self._running) == 1

    async def begin(self, timeout_seconds: float) -> Turn:
        """Wait for the turn of a command with this time limit. `end` gives it back."""
        turn = Turn(timeout_seconds > LONG_SECONDS)
        self._waiting.append(turn)
        await self._wait_for_turn(turn)
        return turn

    async def wait_after_refusal(self, turn: Turn) -> None:
        """sshd refused the session: fewer from now on. Wait for the turn again, before those that never had theirs."""
        self.limit, self._since_refused = max(1, len(self._running) - 1), 0
        self._running.discard(turn)
        turn.come = asyncio.get_running_loop().create_future()
        self._waiting.appendleft(turn)
        await self._wait_for_turn(turn)

    def end(self, turn: Turn) -> None:
        """The command is over, on the host as well. Harmless when it was never begun."""
        self._running.discard(turn)
        self._admit()

    def note_session(self) -> None:
        """A session was given: after enough of them one more is tried."""
        self._since_refused += 1
        if self.limit < MOST_SESSIONS and self._since_refused >= TRY_MORE_AFTER:
            self.limit, self._since_refused = self.limit + 1, 0
            self._admit()

    async def _wait_for_turn(self, turn: Turn) -> None:
        self._admit()
        try:
            await turn.come
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            self.end(turn)  # it may have come at this very moment
            raise

    def _admit(self) -> None:
        for turn in [*self._waiting]:
            long = sum(each.long for each in self._running)
            if len(self._running) >= self.limit:
                return
            if turn.long and self.limit > 1 and long >= self.limit - 1:
                continue
            self._waiting.remove(turn)
            if not turn.come.done():
                self._running.add(turn)
                turn.come.set_result(None)
