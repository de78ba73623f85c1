"""A turn of the engine: look once at every host, do what is left to do, and report how it ended."""

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
    """The actions of one app on one host since it was last at rest."""

    before: str | None  # the version that served when it began
    began_seconds: float = field(default_factory=now_seconds)
    ended_seconds: float | None = None
    actions: list[AnyAction] = field(default_factory=list)
    written: int = 0  # how many of the actions are in the host's history
    log_tail: tuple[str, ...] = ()
    blocked_at_seconds: float | None = None  # when it was first blocked for a reason that may end by itself
    waited_seconds: float = 0.0  # for another controller

    @property
    def has_unwritten(self) -> bool:
        return len(self.actions) > self.written

    def outcome(self, end: Converged | Blocked, *, unwritten: bool = False) -> Outcome:
        """Return the outcome with all actions, or, if `unwritten`, with those that are not in the history yet."""
        if isinstance(end, Blocked):
            end = replace(end, log_tail=end.log_tail or self.log_tail)
        seconds = self.ended_seconds - self.began_seconds if self.ended_seconds else 0.0
        done = self.actions[self.written :] if unwritten else self.actions
        rested = now_seconds() - self.ended_seconds if self.ended_seconds else 0.0
        return Outcome(end, tuple(done), seconds, self.before, self.waited_seconds, rested_seconds=rested)


@dataclass(eq=False)
class Turn:
    """The apps that were at rest when the turn began; it ends when all of them are at rest again."""

    looking: set[str] = field(default_factory=set)  # hosts whose look for this turn has not ended
    began_seconds: float = field(default_factory=now_seconds)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)  # of apps that a later turn has taken over
    failures: dict[str, Failure] = field(default_factory=dict)  # by app, which is rolled back at most once per turn

    def all_outcomes(self, now: Mapping[Key, Outcome]) -> list[Outcome]:
        """Return every outcome, except of apps that were absent already, as desired."""
        together = {**self.outcomes, **now}
        return [each for each in together.values() if not _is_absent_as_wanted(each)]


@dataclass
class Turns:
    """The open turns, the turn that each app on each host belongs to, and its actions in it."""

    open: list[Turn] = field(default_factory=list)
    of: dict[Key, Turn | None] = field(default_factory=dict)  # None: the turn was reported
    episodes: dict[Key, Episode] = field(default_factory=dict)

    def begin(
        self, hosts: Collection[str], keys: Collection[Key], resting: Mapping[Key, Callable[[], Outcome]]
    ) -> None:
        """Begin a turn that takes over those of `keys` at rest. Their outcomes so far belong to their former turn."""
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
        """Assign new keys to the newest turn."""
        if self.open:
            for key in keys:
                self.of.setdefault(key, self.open[-1])

    def reopen(self, key: Key) -> None:
        """Put the key into an open turn, or begin one, if it has something to do although its turn was reported."""
        if self.of.get(key) is None:
            self.open = self.open or [Turn()]
            self.of[key] = self.open[-1]

    def close(self, turn: Turn, keys: Collection[Key]) -> None:
        """End the turn, and the episodes of these keys."""
        self.open.remove(turn)
        self.of = {key: None if owner is turn else owner for key, owner in self.of.items()}
        for key in keys:
            self.episodes.pop(key, None)

    @property
    def begun(self) -> set[Key]:
        """The keys that have acted and are not at rest yet."""
        return {key for key, episode in self.episodes.items() if episode.actions}


def _is_absent_as_wanted(outcome: Outcome) -> bool:
    return isinstance(outcome.end, Converged) and not outcome.end.version and not outcome.actions
