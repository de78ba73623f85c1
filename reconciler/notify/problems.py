"""Which kinds of trouble are news, and which words of them count. Pure."""

from __future__ import annotations

from typing import Final

from reconciler.errors import Kind, ReconcileError

# It passes by itself or was asked for: no news either way, what was told last still stands.
QUIET: Final[frozenset[Kind]] = frozenset({"waiting", "locked", "lease_lost", "suspended"})

# The words change from one look to the next (refused, timed out, no route) while it stays one and the same trouble.
WORDLESS: Final[frozenset[Kind]] = frozenset({"unreachable"})


def error_kind(error: BaseException) -> Kind:
    """The kind of an error that ended a whole pass."""
    return error.kind if isinstance(error, ReconcileError) else "error"
