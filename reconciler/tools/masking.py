"""Masks secrets in a stream as it arrives, holding back only bytes that may be the beginning of a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = b"***"


class Masker:
    """Passes bytes on with the secrets masked, even if a secret is spread over several pieces."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((secret.encode() for secret in secrets if secret), key=len, reverse=True)
        self._any = re.compile(b"|".join(map(re.escape, self._secrets)) or rb"(?!)")
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """Take in the next piece and return what can be shown by now."""
        text, shown = self._rest + piece, b""
        while True:
            found, held = self._any.search(text), self._held_from(text)
            if found is None or held <= found.start():
                self._rest = text[held:]
                return shown + text[:held]
            shown, text = shown + text[: found.start()] + MASK, text[found.end() :]

    def end(self) -> bytes:
        """Return the bytes held back, at the end of the stream."""
        rest, self._rest = self._rest, b""
        return self._any.sub(MASK, rest)

    def _held_from(self, text: bytes) -> int:
        """Return the position from which a secret may have begun that is not complete yet."""
        longest = len(self._secrets[0]) - 1 if self._secrets else 0
        for start in range(max(0, len(text) - longest), len(text)):
            tail = text[start:]
            if any(len(tail) < len(secret) and secret.startswith(tail) for secret in self._secrets):
                return start
        return len(text)
