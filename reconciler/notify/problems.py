"""The kinds of problems that are not news, and those whose words do not count. Pure."""

from __future__ import annotations

from typing import Final

from reconciler.errors import Kind, ReconcileError

# These pass by themselves or are intended. Neither their start nor their end is news.
QUIET: Final[frozenset[Kind]] = frozenset({"waiting", "locked", "lease_lost", "suspended"})

# One pass finds these, and the app runs as desired all the same: their start is news, their end is not.
TOLD_ONCE: Final[frozenset[Kind]] = frozenset({"hook"})

# The words change from one look to the next (refused, timed out, no route), but it is the same problem.
WORDLESS: Final[frozenset[Kind]] = frozenset({"unreachable"})


def error_kind(error: BaseException) -> Kind:
    """Return the kind of an error that ended a whole pass."""
    return error.kind if isinstance(error, ReconcileError) else "error"
