"""Splits what a host prints into parts. Each part states its length, so that a value cannot pass for a part. Pure.

`part` in `scripts/look.sh` writes them. Lines before the parts of the look come from programs that the action ran, and
are skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.words import printable

LARGEST_PART_BYTES = 4 * 1024 * 1024  # look.sh prints at most 256 KiB per app
MOST_PARTS = 5_000
_HEAD = re.compile(rb"@@ ([a-z]{1,20}) (-|[a-z][a-z0-9_-]{0,30}) (0|[1-9][0-9]{0,6})\n")


class Unreadable(ValueError):
    """The text is not a complete reply: it was cut off, or does not come from our script."""


class Unfit(ValueError):
    """A record of an app has a form that our scripts never print. `str()` says which, `next_step` what to do."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(printable(message))
        self.next_step = next_step


@dataclass(frozen=True)
class Part:
    """One part of a reply. Its kind and name were checked; its text was not."""

    kind: str
    name: str  # the app that it describes, or -
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty. Only \\n ends a line: apps may write Unicode's other line ends."""
        return [line for line in self.text.split("\n") if line]


def read_parts(data: bytes) -> list[Part]:
    """Return the parts before the one of kind `end`. Raises Unreadable if there is none, or if a length is wrong."""
    parts: list[Part] = []
    at = 0
    while len(parts) < MOST_PARTS:
        found = _HEAD.match(data, at)
        if found is None:
            at = _next_line(data, at, begun=any(part.kind not in ("log", "ended", "ports", "result") for part in parts))
            continue
        size, begin = int(found[3]), found.end()
        at = begin + size + 1
        if size > LARGEST_PART_BYTES or data[at - 1 : at] != b"\n":
            raise Unreadable("the reply is incomplete")
        part = Part(found[1].decode(), found[2].decode(), data[begin : at - 1].decode(errors="replace"))
        if part.kind == "end":
            return parts
        parts.append(part)
    raise Unreadable("the reply has too many parts")


def _next_line(data: bytes, at: int, *, begun: bool) -> int:
    end = data.find(b"\n", at)
    if begun or end < 0:
        raise Unreadable("the reply is incomplete")
    return end + 1


def number(text: str, most: int, what: str) -> int:
    """Read a whole number in ASCII digits that is not larger than `most`. Raises Unfit, which calls it `what`."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > most:
        raise Unfit(f"{what} is not a valid number")
    return int(text)
