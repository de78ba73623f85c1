"""Texts that many scripts share. A host stores them by digest until it reboots, so that each is sent once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache


def digest_of(text: str) -> str:
    """Return the name under which a host stores the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def pack(text: str) -> bytes:
    """Return the text as it is sent."""
    return gzip.compress(text.encode(), mtime=0)


def names(texts: Iterable[str], sent: frozenset[str]) -> tuple[str, int]:
    """Return what tells a host which texts to use, and how many bytes of stdin hold those that are `sent` along.

    Each is a digest and the number of its bytes on stdin: 0 if the host shall have it.
    """
    sizes = [(digest_of(text), len(pack(text)) if text in sent else 0) for text in texts]
    return " ".join(f"{digest}:{size}" for digest, size in sizes), sum(size for _, size in sizes)


@dataclass
class Stored:
    """What one connection has shown of the texts that the host has stored: usually all of them, from an earlier one."""

    keeps: bool = True  # False for a login that is not root: its home and its part of /run stay as they are
    _seen: set[str] = field(default_factory=set)  # a script began without being sent them
    _sent: set[str] = field(default_factory=set)
    _not_kept: set[str] = field(default_factory=set)  # were sent, and missing afterwards: the host cannot store any

    def to_send(self, texts: frozenset[str], stdin: bytes | object) -> frozenset[str]:
        """Return which of the texts to send along at the first attempt.

        A stream cannot be sent twice: if the host might lack a text, it comes before the stream.
        """
        if not self.keeps:
            return texts
        return texts & self._not_kept if isinstance(stdin, bytes) else texts - self._seen

    def note(self, texts: frozenset[str], sent: frozenset[str], *, missed: bool) -> None:
        """Remember what a command showed that was sent these texts: it began, or the host missed one of the others."""
        if missed:
            self._not_kept |= (texts - sent) & self._sent
            self._seen -= texts
        else:
            self._seen |= texts - sent
            self._sent |= sent
