"""What was answered a moment ago, kept for this process only: a watching controller does not ask at every pass."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

KEEP_SECONDS: Final = 60.0
_T = TypeVar("_T")
_kept: dict[tuple[str, ...], tuple[float, object]] = {}


async def ask_or_recall(key: tuple[str, ...], ask: Callable[[], Awaitable[_T]], seconds: float = KEEP_SECONDS) -> _T:
    """The answer to this question, at most so old. What `ask` raises is not kept."""
    now = time.monotonic()
    for old in [each for each, (until, _) in _kept.items() if until <= now]:
        del _kept[old]
    if key in _kept:
        return cast(_T, _kept[key][1])
    answer = await ask()
    _kept[key] = (time.monotonic() + seconds, answer)
    return answer
