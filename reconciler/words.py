"""Words of others, such as a host, an app, a registry or git, made fit to stand among ours. Pure.

The one way in which bytes of a peer get into a message, a state file or a terminal. What could move a cursor, hide
text, turn its direction or begin a line is shown as an escape, and the length is bounded.
"""

from __future__ import annotations

import re

LONGEST = 300
LONGEST_LINE = 2000  # of a log
_COLOURS = re.compile(r"\x1b\[[0-9;:]{0,40}m")


def printable(text: str, longest: int = LONGEST) -> str:
    """One line of at most `longest` characters, and a … where it was longer."""
    words = " ".join(text[: 4 * longest].split())
    shown = "".join(map(_escape_unprintable, words[:longest]))[:longest]
    return shown if len(words) <= longest and len(text) <= 4 * longest else f"{shown}…"


def printable_name(name: str, longest: int = 200) -> str:
    """A file's name: each blank in it stays one, and a line break is shown as an escape."""
    shown = "".join(map(_escape_unprintable, name[:longest]))
    return f"{shown}…" if len(name) > longest else shown


def printable_line(line: str) -> str:
    """A line of a log: its blanks stay, its colours go, and a tab is as wide as in a terminal."""
    line = _COLOURS.sub("", line[: 2 * LONGEST_LINE]).expandtabs(8).rstrip("\r\n")
    shown = "".join(map(_escape_unprintable, line[:LONGEST_LINE]))
    return f"{shown}…" if len(line) > LONGEST_LINE else shown


def printable_text(text: str) -> str:
    """Several lines, each made fit by itself: what is ours already, once more before it goes out."""
    return "\n".join("".join(map(_escape_unprintable, line)) for line in text.split("\n"))


def _escape_unprintable(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]
