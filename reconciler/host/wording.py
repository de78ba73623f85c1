"""What a failed connection is called for people."""

from __future__ import annotations

import os

from reconciler.words import printable


def plain_words(error: Exception) -> str:
    """One line, without numbers of the system's or Python's own words: "Connection refused". Fit for a terminal."""
    if isinstance(error, OSError) and error.errno:
        # Below zero are the resolver's, which it words itself; asyncio words the others as Python.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return printable(str(getattr(error, "reason", "") or error)) or type(error).__name__
