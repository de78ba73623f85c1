"""What the page shows: values that the engine has anyway, frozen at one instant. Nothing is asked for a viewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.decide.order import FleetStep
from reconciler.decide.plan import AppPlan
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet

Mode = Literal["watch", "look", "file"]
"""A watch that converges, `reconcile ui` that only looks, or one file that nobody renews."""


@dataclass(frozen=True)
class Commit:
    """A commit, as git describes it. Without a revision the desired state was read from files."""

    revision: str | None = None
    at_epoch_seconds: float | None = None
    author: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class ActionSeen:
    """One action, under way or ended. `progress` says how far it is, in the words of whoever carries it out."""

    verb: str
    subject: str
    reason: str
    began_epoch_seconds: float
    ended_epoch_seconds: float | None = None
    failed: bool = False
    progress: str = ""
    drift: str | None = None


@dataclass(frozen=True)
class Entry:
    """What a pass did to one app on one host, by the host's history or as this process saw it."""

    at_epoch_seconds: float
    host: str
    app: str
    who: str
    commit: str | None
    before: str
    after: str
    why: str
    seconds: float
    converged: bool
    outcome: str
    reason: str = ""
    verbs: tuple[str, ...] = ()
    actions: tuple[ActionSeen, ...] = ()  # empty if the entry was read from a host

    @property
    def drift(self) -> tuple[str, ...]:
        """The kinds of drift that it put back."""
        return tuple(dict.fromkeys(action.drift for action in self.actions if action.drift))


@dataclass(frozen=True)
class Refusal:
    """Why the newest desired state is not in use, and what to do."""

    reason: str
    next_step: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """The fleet at one instant: what is wanted, what was seen, what is decided, what is under way, what was done."""

    desired: DesiredFleet
    seen: SeenFleet
    steps: Mapping[Key, FleetStep]
    at_epoch_seconds: float
    mode: Mode = "watch"
    interval_seconds: float | None = None
    commit: Commit = Commit()
    app_commits: Mapping[str, Commit] = field(default_factory=dict)  # the last one that changed the app's file
    refusal: Refusal | None = None
    plans: Mapping[Key, AppPlan] | None = None  # None: to be worked out from `desired` and `seen`
    looked_at: Mapping[str, float] = field(default_factory=dict)  # epoch seconds of the last look, by host
    addresses: Mapping[str, str] = field(default_factory=dict)  # by host
    doing: Mapping[Key, tuple[ActionSeen, ...]] = field(default_factory=dict)  # the actions of a rollout under way
    history: tuple[Entry, ...] = ()  # newest first
    unread: tuple[str, ...] = ()  # hosts whose histories could not be read
