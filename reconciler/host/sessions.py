"""Limits how many commands run at once on one connection: sshd refuses more than its MaxSessions, by default 10."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

MOST_SESSIONS = 6  # below sshd's 10, since sshd still counts a session that has just ended
LONG_SECONDS = 90  # commands that may take longer leave one session free for the others
TRY_MORE_AFTER = 50  # after so many commands since a refusal, try one session more: the refusal may have been chance


@dataclass(eq=False)
class Turn:
    """One command's place in the queue. The command may run once `admitted` is done."""

    long: bool
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass
class Sessions:
    """A queue of commands, first come first served. Uploads and other long commands never take the last session."""

    limit: int = MOST_SESSIONS
    _running: set[Turn] = field(default_factory=set)
    _waiting: deque[Turn] = field(default_factory=deque)
    _since_refused: int = 0

    @property
    def alone(self) -> bool:
        """True if only one command runs: the caller's."""
        return len(self._running) == 1

    async def begin(self, timeout_seconds: float) -> Turn:
        """Wait until a command with this time limit may run, and return its turn, to be given back with `end`."""
        turn = Turn(timeout_seconds > LONG_SECONDS)
        self._waiting.append(turn)
        await self._wait_for_turn(turn)
        return turn

    async def wait_after_refusal(self, turn: Turn) -> None:
        """Lower the limit, since sshd refused the session, and wait for the turn again, ahead of new commands."""
        self.limit, self._since_refused = max(1, len(self._running) - 1), 0
        self._running.discard(turn)
        turn.admitted = asyncio.get_running_loop().create_future()
        self._waiting.appendleft(turn)
        await self._wait_for_turn(turn)

    def end(self, turn: Turn) -> None:
        """Give the turn back, once the command has ended on the host too. Harmless if it never ran."""
        self._running.discard(turn)
        self._admit()

    def note_session(self) -> None:
        """Count a session that sshd accepted. After TRY_MORE_AFTER of them, raise the limit by one."""
        self._since_refused += 1
        if self.limit < MOST_SESSIONS and self._since_refused >= TRY_MORE_AFTER:
            self.limit, self._since_refused = self.limit + 1, 0
            self._admit()

    async def _wait_for_turn(self, turn: Turn) -> None:
        self._admit()
        try:
            await turn.admitted
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            self.end(turn)  # it may have been admitted at this very moment
            raise

    def _admit(self) -> None:
        for turn in [*self._waiting]:
            long = sum(running.long for running in self._running)
            if len(self._running) >= self.limit:
                return
            if turn.long and self.limit > 1 and long >= self.limit - 1:
                continue
            self._waiting.remove(turn)
            if not turn.admitted.done():
                self._running.add(turn)
                turn.admitted.set_result(None)
