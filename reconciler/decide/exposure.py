"""Ports of apps that visitors can reach past Traefik. Pure.

On such a port no password is asked for, no address range counts, and X-Forwarded-For is what the visitor says.
"""

from __future__ import annotations

from typing import NamedTuple

from reconciler.decide.case import Case
from reconciler.model.action import Blocked


class Note(NamedTuple):
    """What the operator should know of a converged app, and what to do about it."""

    text: str
    next_step: str


def exposure_problem(case: Case) -> Blocked | None:
    """Return Blocked if the route keeps visitors out who can reach the app past Traefik."""
    note, route = exposure_note(case), case.target.route
    if note is None or route is None or not route.guarded:
        return None
    return case.block(
        "exposed", f"{note.text}; {' and '.join(route.guarded)} of its route do not count there", note.next_step
    )


def exposure_note(case: Case) -> Note | None:
    """Return the note on a port that other machines can reach, None if Traefik alone reaches it."""
    if not case.slot.exposed or case.target.route is None or case.target.firewalled:
        return None
    return Note(
        f"it listens on every address: visitors can reach port {case.slot.name} past Traefik",
        "have it listen on 127.0.0.1 only (often a setting such as HOST=127.0.0.1), or write firewalled: true if a "
        "firewall keeps them out",
    )
