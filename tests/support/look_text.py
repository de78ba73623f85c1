"""Edits saved replies of hosts, in which every part states its length."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.tools.framing import read_parts

CASES = Path(__file__).resolve().parents[1] / "tools" / "cases" / "look"
Parts = list[tuple[str, str, str]]  # kind, name, text


def case(name: str) -> bytes:
    """A reply saved from a real host."""
    return (CASES / f"{name}.txt").read_bytes()


def apart(reply: bytes) -> Parts:
    return [(part.kind, part.name, part.text) for part in read_parts(reply)]


def framed(parts: Parts) -> bytes:
    """The parts as `part` in look.sh prints them, and the end."""
    whole = [*parts, ("end", "-", "")]
    return b"".join(b"@@ %s %s %d\n%s\n" % (k.encode(), n.encode(), len(t.encode()), t.encode()) for k, n, t in whole)


def edited(reply: bytes, before: str, after: str, *, kind: str = "", everywhere: bool = False) -> bytes:
    """The reply with this text replaced, once, in the first part (of that kind) that holds it."""
    parts, done = apart(reply), False
    for number, (each, name, text) in enumerate(parts):
        if before in text and kind in ("", each) and (everywhere or not done):
            parts[number] = (each, name, text.replace(before, after, -1 if everywhere else 1))
            done = True
    assert done or everywhere, before
    return framed(parts)


def with_lines(reply: bytes, kind: str, *lines: str) -> bytes:
    """The reply with more lines at the beginning of the first part of that kind."""
    parts = apart(reply)
    number = next(number for number, part in enumerate(parts) if part[0] == kind)
    each, name, text = parts[number]
    parts[number] = (each, name, "\n".join([*lines, text]))
    return framed(parts)


def without_lines(reply: bytes, pattern: str) -> bytes:
    """The reply without the lines in which the pattern is found."""
    return framed(
        [
            (kind, name, "\n".join(line for line in text.split("\n") if not re.search(pattern, line)))
            for kind, name, text in apart(reply)
        ]
    )


def renamed(reply: bytes, before: str, after: str) -> bytes:
    """The same reply of an app of another name."""
    return framed([(k, after if n == before else n, t.replace(before, after)) for k, n, t in apart(reply)])
