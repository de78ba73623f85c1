"""How a pass ended for one app on one host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.model.action import (
    AnyAction,
    Blocked,
    Converged,
)


@dataclass(frozen=True)
class Outcome:
    """How a pass ended for one app on one host, what it did, how long it took, and what it began with."""

    end: Converged | Blocked
    actions: tuple[AnyAction, ...] = ()
    seconds: float = 0.0
    before: str | None = None  # the version that ran when it began
    waited_seconds: float = 0.0  # for another controller

    def then(self, later: Outcome) -> Outcome:
        """Both as one, which ended as the later one did."""
        before = self.before if self.actions else later.before  # somebody else may have changed it meanwhile
        actions, seconds = self.actions + later.actions, self.seconds + later.seconds
        return replace(self, end=later.end, actions=actions, seconds=seconds, before=before)
