"""The terminal that this process writes to: whether it takes colours, and how large it is.

--color decides, then NO_COLOR, FORCE_COLOR and CLICOLOR_FORCE, then TERM, then whether it is a terminal at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Literal, TextIO

from reconciler.colours import Paint, in_colour, plain

Choice = Literal["auto", "always", "never"]

_choice: Choice = "auto"


def choose_colour(choice: Choice) -> None:
    """From now on, do what --color says."""
    global _choice
    _choice = choice


def paint_for(stream: TextIO) -> Paint:
    """The function that paints text for this stream, or leaves it as it is."""
    return in_colour if takes_colour(_choice, is_terminal=_is_terminal(stream), environment=os.environ) else plain


def takes_colour(choice: Choice, *, is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """True if text is painted. NO_COLOR is stronger than what forces colours, which does not count if it is 0."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and environment.get("TERM") != "dumb" and environment.get("CLICOLOR") != "0"


def can_redraw(stream: TextIO) -> bool:
    """True if lines on this stream can be written over: a terminal that understands how to move its cursor."""
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int | None:
    """The columns of a terminal at this moment; None for a file or a pipe, where lines may have any length."""
    if not _is_terminal(stream) and "COLUMNS" not in os.environ:
        return None
    return size_of(stream)[0]


def size_of(stream: TextIO) -> tuple[int, int]:
    """The columns and rows of a terminal at this moment, or what COLUMNS and LINES say."""
    stated = tuple(int(text) if (text := os.environ.get(name, "")).isdecimal() else 0 for name in ("COLUMNS", "LINES"))
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # not a terminal, or closed
        size = shutil.get_terminal_size()
    return stated[0] or size.columns or 80, stated[1] or size.lines or 24


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False
