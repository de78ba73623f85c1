"""The state of an app on a host: one word and one colour for what was decided about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.decide.order import FleetStep
from reconciler.model.action import Blocked, Converged
from reconciler.model.fleet import Wait


@dataclass(frozen=True)
class State:
    """A word for people, the name of its colour, and how urgent it is (0 is worst)."""

    key: str
    word: str
    tone: str
    rank: int


_ALL: Final = (
    State("down", "down", "bad", 0),
    State("unreachable", "unreachable", "lost", 1),
    State("blocked", "blocked", "bad", 2),
    State("moving", "rolling out", "busy", 3),
    State("todo", "to do", "busy", 4),
    State("waiting", "waits", "wait", 5),
    State("suspended", "suspended", "held", 6),
    State("unseen", "not seen yet", "wait", 7),
    State("noted", "ok, note", "note", 8),
    State("ok", "as wanted", "good", 9),
    State("absent", "removed", "good", 10),
)
STATES: Final = {state.key: state for state in _ALL}
WORDS: Final = frozenset(STATES)
TROUBLED: Final = ("down", "unreachable", "blocked")
UNREACHABLE_KINDS: Final = ("unreachable", "host_key", "login")
WAITING_KINDS: Final = ("waiting", "locked", "starting", "lease_lost")


def state_of(step: FleetStep, *, under_way: bool, acts: bool) -> State:
    """The state that this step stands for. `acts`: an action that is due is begun, not only shown."""
    if under_way:
        return STATES["moving"]
    if isinstance(step, Converged):
        return STATES["absent" if not step.version else "noted" if step.note else "ok"]
    if isinstance(step, Wait):
        return STATES["waiting"]
    if isinstance(step, Blocked):
        return STATES[_blocked(step)]
    return STATES["moving" if acts else "todo"]


def _blocked(end: Blocked) -> str:
    if end.kind == "suspended":
        return "suspended"
    if end.kind in UNREACHABLE_KINDS:
        return "unreachable"
    if end.kind in WAITING_KINDS:
        return "waiting"
    return "blocked" if end.serving else "down"
