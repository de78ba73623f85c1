"""What a host prints, in parts that say how many bytes they have: read strictly, so that no value can be a part. Pure.

`part` in `scripts/look.sh` writes them. Lines between the parts that stand before the first look at the host are of the
programs that an action ran, and say nothing to us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.words import printable

LARGEST_PART_BYTES = 4 * 1024 * 1024  # of an app look.sh prints no larger one than 256 KiB
MOST_PARTS = 5_000
_HEAD = re.compile(rb"@@ ([a-z]{1,20}) (-|[a-z][a-z0-9_-]{0,30}) (0|[1-9][0-9]{0,6})\n")


class Unreadable(ValueError):
    """The text is not a whole reply: cut off, or not from our script."""


class Unfit(ValueError):
    """One record of an app that no host of ours prints. `str()` says which, fit to print; `next_step` what to do."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(printable(message))
        self.next_step = next_step


@dataclass(frozen=True)
class Part:
    """One part of a reply. Only its name and kind are known to be of a sound form."""

    kind: str
    name: str  # of the app it tells of, or -
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty. Not where Unicode ends one: apps write some of it."""
        return [line for line in self.text.split("\n") if line]


def read_parts(data: bytes) -> list[Part]:
    """The parts up to the one that says `end`. Raises Unreadable when there is none, or when a length is wrong."""
    parts: list[Part] = []
    at = 0
    while len(parts) < MOST_PARTS:
        found = _HEAD.match(data, at)
        if found is None:
            at = _next_line(data, at, begun=any(part.kind not in ("log", "result") for part in parts))
            continue
        size, begin = int(found[3]), found.end()
        at = begin + size + 1
        if size > LARGEST_PART_BYTES or data[at - 1 : at] != b"\n":
            raise Unreadable("the reply is not whole")
        part = Part(found[1].decode(), found[2].decode(), data[begin : at - 1].decode(errors="replace"))
        if part.kind == "end":
            return parts
        parts.append(part)
    raise Unreadable("the reply has too many parts")


def _next_line(data: bytes, at: int, *, begun: bool) -> int:
    end = data.find(b"\n", at)
    if begun or end < 0:
        raise Unreadable("the reply is not whole")
    return end + 1


def number(text: str, most: int, what: str) -> int:
    """A whole number in plain digits, no larger than `most`. Raises Unfit."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > most:
        raise Unfit(f"{what} is no number that it can be")
    return int(text)
