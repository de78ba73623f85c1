"""What will happen on a host by itself, as data: so that a host can be copied with what lies ahead of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Events:
    """Calls of the host's methods, by name, each at its time."""

    owner: Any
    pending: dict[int, tuple[float, str, tuple[Any, ...]]] = field(default_factory=dict)
    count: int = 0
    handles: dict[int, asyncio.TimerHandle] = field(default_factory=dict)

    def after(self, seconds: float, method: str, *arguments: Any) -> int:
        self.count += 1
        self._put(self.count, self.owner.now + seconds, method, arguments)
        return self.count

    def _put(self, number: int, due: float, method: str, arguments: tuple[Any, ...]) -> None:
        self.pending[number] = (due, method, arguments)
        self.handles[number] = asyncio.get_running_loop().call_at(due, self._fire, number)

    def _fire(self, number: int) -> None:
        _, method, arguments = self.pending.pop(number)
        self.handles.pop(number, None)
        getattr(self.owner, method)(*arguments)

    def cancel(self, number: int) -> None:
        self.pending.pop(number, None)
        if handle := self.handles.pop(number, None):
            handle.cancel()

    def clear(self) -> None:
        for number in list(self.pending):
            self.cancel(number)

    def restore(self, pending: dict[int, tuple[float, str, tuple[Any, ...]]], count: int) -> None:
        self.count = count
        for number, (due, method, arguments) in sorted(pending.items()):
            self._put(number, due, method, arguments)
