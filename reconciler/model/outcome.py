"""The outcome of a pass for one app on one host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.model.action import (
    AnyAction,
    Blocked,
    Converged,
)


@dataclass(frozen=True)
class Outcome:
    """The end of a pass for one app on one host, the actions it took, its duration, and the version it started from."""

    end: Converged | Blocked
    actions: tuple[AnyAction, ...] = ()
    seconds: float = 0.0
    before: str | None = None  # the version that ran when the pass began
    waited_seconds: float = 0.0  # for another controller

    def then(self, later: Outcome) -> Outcome:
        """Merge this outcome with a later one. The result ends as the later one did."""
        before = self.before if self.actions else later.before  # another controller may have changed it in between
        actions, seconds = self.actions + later.actions, self.seconds + later.seconds
        return replace(self, end=later.end, actions=actions, seconds=seconds, before=before)
