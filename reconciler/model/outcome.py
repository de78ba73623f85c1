"""The outcome of a pass for one app on one host."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.action import (
    AnyAction,
    Blocked,
    Converged,
)
from reconciler.model.observed_job import ObservedJob


@dataclass(frozen=True)
class Outcome:
    """The end of a pass for one app on one host, the actions it took, its duration, and the version it started from."""

    end: Converged | Blocked
    actions: tuple[AnyAction, ...] = ()
    seconds: float = 0.0
    before: str | None = None  # the version that ran when the pass began
    waited_seconds: float = 0.0  # for another controller
    jobs: tuple[ObservedJob, ...] = ()  # of the app on this host, as last seen
    certificate_ends: int | None = None  # when the first certificate of its route ends, in epoch seconds
    rested_seconds: float = 0.0  # since its last action ended
