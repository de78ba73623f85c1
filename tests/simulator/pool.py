"""Many runs side by side: one process a core, each with the references that the parent made."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tests.simulator.folder import end_with_parent

_T = TypeVar("_T")
_R = TypeVar("_R")
_WORK: dict[str, Any] = {}


def _call(item: Any) -> Any:
    try:
        return _WORK["function"](item)
    except BaseException as error:
        return Crashed(item, f"{type(error).__name__}: {error}", traceback.format_exc())


class Crashed:
    """A run that did not come to an end: a mistake of the simulator's, or of what it runs."""

    def __init__(self, item: Any, why: str, where: str) -> None:
        self.item, self.why, self.where = item, why, where


def side_by_side(
    function: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None
) -> Iterator[_R | Crashed]:
    """The results as they come. The function sees everything that is there now: the workers are forks."""
    _WORK["function"] = function
    context = multiprocessing.get_context("fork")
    with context.Pool(workers or os.cpu_count() or 1, end_with_parent, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(_call, list(items), chunksize=1)
        pool.close()
        pool.join()
