"""A turn of the engine: everything is looked at once, and what is found to do is done. How it ended is reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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


@dataclass
class Turns:
    """The open turns, which turn each app on each host belongs to, and what it did in it."""

    open: list[Turn] = field(default_factory=list)
    of: dict[Key, Turn | None] = field(default_factory=dict)  # None: the turn was reported
    episodes: dict[Key, Episode] = field(default_factory=dict)

    def begin(
        self, hosts: Collection[str], keys: Collection[Key], resting: Mapping[Key, Callable[[], Outcome]]
    ) -> None:
        """A new turn takes over all of `keys` that are at rest; how they ended so far counts for their former turn."""
        turn = Turn(looking=set(hosts))
        former = {key: older for key, older in self.of.items() if key in keys}
        for key, older in former.items():
            if older is not None and key in resting:
                older.outcomes[key] = resting[key]()
                self.episodes.pop(key, None)
                older = None
            former[key] = older or turn
        self.of = former
        self.open.append(turn)

    def claim(self, keys: Collection[Key]) -> None:
        """Keys that are new belong to the newest turn."""
        if self.open:
            for key in keys:
                self.of.setdefault(key, self.open[-1])

    def reopen(self, key: Key) -> None:
        """There is something to do between two turns: what it waited for has come about."""
        if self.of.get(key) is None:
            self.open = self.open or [Turn()]
            self.of[key] = self.open[-1]

    def close(self, turn: Turn, keys: Collection[Key]) -> None:
        """It is over, and so is what these did in it."""
        self.open.remove(turn)
        self.of = {key: None if owner is turn else owner for key, owner in self.of.items()}
        for key in keys:
            self.episodes.pop(key, None)

    @property
    def begun(self) -> set[Key]:
        """What has acted and is not done yet."""
        return {key for key, episode in self.episodes.items() if episode.actions}


def _is_absent_as_wanted(outcome: Outcome) -> bool:
    return isinstance(outcome.end, Converged) and not outcome.end.version and not outcome.actions
