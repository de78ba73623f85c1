"""A part of a fleet's hosts, for one of several controllers."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

MOST_SHARDS = 64


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`. Which hosts it has depends on their names alone, so a new host moves no other."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "1/4". Raises ValueError, which says what is wrong."""
        found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            raise ValueError(f"{text!r} is not a part such as 1/4, of at most {MOST_SHARDS}")
        return cls(int(found[1]), int(found[2]))

    def has(self, host: str) -> bool:
        """True if this shard's controller changes the host."""
        place = int.from_bytes(hashlib.sha256(host.encode()).digest()[:8], "big")
        return place % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
