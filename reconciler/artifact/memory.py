"""Recent answers, kept in this process only, so that a watching controller does not ask again at every pass."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

KEEP_SECONDS: Final = 60.0
_T = TypeVar("_T")
_kept: dict[tuple[str, ...], tuple[float, object]] = {}


async def ask_or_recall(key: tuple[str, ...], ask: Callable[[], Awaitable[_T]], seconds: float = KEEP_SECONDS) -> _T:
    """Return the kept answer for `key`, or else call `ask` and keep its answer for `seconds`. Errors are not kept."""
    now = time.monotonic()
    for expired in [other for other, (until, _) in _kept.items() if until <= now]:
        del _kept[expired]
    if key in _kept:
        return cast(_T, _kept[key][1])
    answer = await ask()
    _kept[key] = (time.monotonic() + seconds, answer)
    return answer
