"""Secrets taken out of a stream while it flows: nothing is held back but what may be the beginning of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = b"***"


class Masker:
    """Bytes in, the same bytes out without the secrets, wherever the pieces were cut."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((secret.encode() for secret in secrets if secret), key=len, reverse=True)
        self._any = re.compile(b"|".join(map(re.escape, self._secrets)) or rb"(?!)")
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be shown by now."""
        text, shown = self._rest + piece, b""
        while True:
            found, held = self._any.search(text), self._held_from(text)
            if found is None or held <= found.start():
                self._rest = text[held:]
                return shown + text[:held]
            shown, text = shown + text[: found.start()] + MASK, text[found.end() :]

    def end(self) -> bytes:
        """What was held back."""
        rest, self._rest = self._rest, b""
        return self._any.sub(MASK, rest)

    def _held_from(self, text: bytes) -> int:
        """Where a secret may have begun whose end has not come yet."""
        longest = len(self._secrets[0]) - 1 if self._secrets else 0
        for start in range(max(0, len(text) - longest), len(text)):
            tail = text[start:]
            if any(len(tail) < len(secret) and secret.startswith(tail) for secret in self._secrets):
                return start
        return len(text)
