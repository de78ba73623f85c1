"""A turn of the engine: everything is looked at once, and what is found to do is done. How it ended is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.clock import now_seconds
from reconciler.decide.fleet import Failure
from reconciler.model.action import AnyAction, Blocked, Converged
from reconciler.model.fleet import Key
from reconciler.model.outcome import Outcome


@dataclass
class Episode:
    """What one app did on one host since it was last at rest."""

    before: str | None  # the version that served when it began
    began_seconds: float = field(default_factory=now_seconds)
    ended_seconds: float | None = None
    actions: list[AnyAction] = field(default_factory=list)
    written: int = 0  # how many of the actions are in the host's history
    log_tail: tuple[str, ...] = ()
    blocked_at_seconds: float | None = None  # since when it is watched whether it passes by itself
    waited_seconds: float = 0.0  # for another controller

    @property
    def has_unwritten(self) -> bool:
        return len(self.actions) > self.written

    def outcome(self, end: Converged | Blocked, *, unwritten: bool = False) -> Outcome:
        """How it ended, with all it did, or with what the history does not have yet."""
        if isinstance(end, Blocked):
            end = replace(end, log_tail=end.log_tail or self.log_tail)
        seconds = self.ended_seconds - self.began_seconds if self.ended_seconds else 0.0
        done = self.actions[self.written :] if unwritten else self.actions
        return Outcome(end, tuple(done), seconds, self.before, self.waited_seconds)


@dataclass(eq=False)
class Turn:
    """The apps and hosts that were at rest when it began, until all of them are so again."""

    looking: set[str] = field(default_factory=set)  # hosts whose look for it has not ended
    began_seconds: float = field(default_factory=now_seconds)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)  # of what a later turn has taken over
    failures: dict[str, Failure] = field(default_factory=dict)  # by app: what is rolled back, at most once a turn

    def all_outcomes(self, now: Mapping[Key, Outcome]) -> list[Outcome]:
        """Every outcome, but not that something is absent as wanted."""
        together = {**self.outcomes, **now}
        return [each for each in together.values() if not _is_absent_as_wanted(each)]


def _is_absent_as_wanted(outcome: Outcome) -> bool:
    return isinstance(outcome.end, Converged) and not outcome.end.version and not outcome.actions
