"""Make text from others (a host, an app, a registry, git) safe to print among our own. Pure.

This is the only way for a peer's bytes into a message, a state file or a terminal. Characters that could move the
cursor, hide text, change its direction or start a line are shown as escapes, and the length is bounded.
"""

from __future__ import annotations

import re

LONGEST = 300
LONGEST_LINE = 2000  # of a log
_COLOURS = re.compile(r"\x1b\[[0-9;:]{0,40}m")


def printable(text: str, longest: int = LONGEST) -> str:
    """The text as one line of at most `longest` characters, followed by … if it was longer."""
    words = " ".join(text[: 4 * longest].split())
    shown = "".join(map(_escape_unprintable, words[:longest]))[:longest]
    return shown if len(words) <= longest and len(text) <= 4 * longest else f"{shown}…"


def printable_name(name: str, longest: int = 200) -> str:
    """A file's name as one line: blanks stay as they are, and a line break is shown as an escape."""
    shown = "".join(map(_escape_unprintable, name[:longest]))
    return f"{shown}…" if len(name) > longest else shown


def printable_line(line: str) -> str:
    """A line of a log: blanks stay, colours are removed, and tabs are expanded to 8 columns."""
    line = _COLOURS.sub("", line[: 2 * LONGEST_LINE]).expandtabs(8).rstrip("\r\n")
    shown = "".join(map(_escape_unprintable, line[:LONGEST_LINE]))
    return f"{shown}…" if len(line) > LONGEST_LINE else shown


def printable_text(text: str) -> str:
    """Text of several lines with everything unprintable escaped: the last step before our own text is printed."""
    return "\n".join("".join(map(_escape_unprintable, line)) for line in text.split("\n"))


def _escape_unprintable(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]
