"""What kind of thing is in the way: one word of a fixed list, fit for a metric's label. Pure."""

from __future__ import annotations

import re
from typing import Final

from reconciler.errors import GitError, InvalidDesiredState
from reconciler.model.action import Blocked

# The first that matches counts. Tests hold each phrase against the texts it is taken from.
_CLASSES: Final[tuple[tuple[str, str], ...]] = (
    ("prune_guard", r"--allow-prune lets it happen"),
    ("suspended", r"^suspended\b"),
    (
        "waiting",
        r"^waiting for the artifact since |^waits for host |^comes after |^called off: |^is to be removed, and waits: ",
    ),
    ("drift", r"^drift, only reported"),
    ("quarantined", r"^version \S+ failed here: "),
    ("foreign", r" was not written by reconcile "),
    ("crashing", r"exits again and again"),
    ("unhealthy", r"serves but is not healthy"),
    ("port_taken", r"^port \S+ is taken by "),
    ("memory", r"^a second copy needs about "),
    ("traefik", r"Traefik (does not answer|has not applied|still holds)"),
    ("still_routed", r"is still routed and is not stopped"),
    ("circling", r"^the same actions come up again and again"),
    ("host_key", r"host key\b"),
    ("login", r"^login refused|may not become root|^~/\.ssh cannot be used|sshd does not forward"),
    ("secret", r"^the secret \S+ is not known"),
    ("unreachable", r"no answer in time|the connection broke|a command did not end within|^(next: )?ssh \S+$"),
    ("artifact", r"\bartifact\b|https?://|\bgithub:|\b(s3|oci)://"),
)

CLASSES: Final = (*(name for name, _ in _CLASSES), "locked", "other", "invalid", "git", "error")

# It passes by itself or was asked for: no news either way, what was told last still stands.
QUIET: Final = frozenset({"waiting", "locked", "suspended"})

# The words change from one look to the next (refused, timed out, no route) while it stays one and the same trouble.
WORDLESS: Final = frozenset({"unreachable"})


def error_class(error: BaseException) -> str:
    """The class of an error that ended a whole pass."""
    if isinstance(error, InvalidDesiredState):
        return "invalid"
    return "git" if isinstance(error, GitError) else "error"


def problem_class(end: Blocked) -> str:
    """The class of what is in the way."""
    if end.locked:
        return "locked"
    text = f"{end.reason.removeprefix(f'host {end.host}: ')}\nnext: {end.next_step}"
    return next((name for name, pattern in _CLASSES if re.search(pattern, text, re.MULTILINE)), "other")
