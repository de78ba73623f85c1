"""A forge's "there was a push" that only wakes the loop. What it says is never read; who says it is checked.

GitHub, Gitea and Forgejo sign the body (`X-Hub-Signature-256`), GitLab shows the secret (`X-Gitlab-Token`),
everybody else may sign as GitHub does in `X-Reconcile-Signature`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from reconciler.daemon.http_server import TEXT, Answer, Get, Headers, Post, serve
from reconciler.errors import UsageError

PATH: Final = "/webhook"
SHORTEST_SECRET: Final = 16
_EVERY_SECONDS: Final = 2.0
_SIGNATURES: Final = ("x-hub-signature-256", "x-reconcile-signature")
_TOKEN: Final = "x-gitlab-token"  # noqa: S105 -- the name of a header


class Secret(Protocol):
    """pydantic's SecretStr, or anything else that does not print itself."""

    def get_secret_value(self) -> str:
        """The secret itself."""


async def serve_webhook(
    listen: str, secret: Secret, wake: Callable[[], None], get: Mapping[str, Get] | None = None
) -> asyncio.Server:
    """Serve `POST /webhook`, and what `get` has besides. Raises UsageError."""
    return await serve(listen, get or {}, {PATH: webhook(secret, wake)})


def webhook(secret: Secret, wake: Callable[[], None], every_seconds: float = _EVERY_SECONDS) -> Post:
    """What answers a POST: 202 and a wake-up for who knows the secret, else 401.

    The first one wakes at once; any number within `every_seconds` after it wake once more, at their end.
    """
    key = secret.get_secret_value().encode()
    if len(key) < SHORTEST_SECRET:
        next_step = f"use at least {SHORTEST_SECRET} characters, such as from openssl rand -hex 32"
        raise UsageError("the secret of the webhook is too short", next_step)
    gather = Gathered(wake, every_seconds)

    def answer(headers: Headers, body: bytes) -> Answer:
        if not is_genuine(key, headers, body):
            return 401, TEXT, b"the signature is missing or wrong\n"
        gather()
        return 202, TEXT, b"looking\n"

    return answer


def is_genuine(key: bytes, headers: Headers, body: bytes) -> bool:
    """Whether whoever sent this knows the key. Every header that claims so must be right, and one must be there."""
    claims = [(name, value) for name in (*_SIGNATURES, _TOKEN) for value in headers.get(name, ())]
    signed = hmac.new(key, body, hashlib.sha256).hexdigest().encode()
    right = [
        hmac.compare_digest(key, value.encode("latin-1"))
        if name == _TOKEN
        else hmac.compare_digest(signed, value.removeprefix("sha256=").encode("latin-1"))
        for name, value in claims
    ]
    return bool(right) and all(right)


class Gathered:
    """Calls `wake` at once, then at most once every so many seconds; the last call is never lost."""

    def __init__(self, wake: Callable[[], None], every_seconds: float) -> None:
        self._wake = wake
        self._every_seconds = every_seconds
        self._resting: asyncio.TimerHandle | None = None
        self._again = False

    def __call__(self) -> None:
        if self._resting:
            self._again = True
            return
        self._resting = asyncio.get_running_loop().call_later(self._every_seconds, self._pause)
        self._wake()

    def _pause(self) -> None:
        self._resting = None
        if self._again:
            self._again = False
            self()
