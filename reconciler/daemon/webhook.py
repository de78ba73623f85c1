"""The webhook that a forge calls after a push. It checks the sender, ignores the body, and wakes the loop.

GitHub, Gitea and Forgejo sign the body (`X-Hub-Signature-256`), GitLab sends the secret (`X-Gitlab-Token`), and any
other sender may sign as GitHub does, in `X-Reconcile-Signature`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from reconciler.daemon.http_server import TEXT, Answer, Get, Headers, Page, Post, serve
from reconciler.errors import UsageError

PATH: Final = "/webhook"
SHORTEST_SECRET: Final = 16
_EVERY_SECONDS: Final = 2.0
_SIGNATURES: Final = ("x-hub-signature-256", "x-reconcile-signature")
_TOKEN: Final = "x-gitlab-token"  # noqa: S105 -- the name of a header


class Secret(Protocol):
    """pydantic's SecretStr, or another type that does not print its value."""

    def get_secret_value(self) -> str:
        """Return the secret in plain text."""


async def serve_webhook(
    listen: str,
    secret: Secret,
    wake: Callable[[], None],
    get: Mapping[str, Get] | None = None,
    page: Page | None = None,
) -> asyncio.Server:
    """Serve `POST /webhook`, the paths of `get`, and all others by `page`. Raises UsageError."""
    return await serve(listen, get or {}, {PATH: webhook(secret, wake)}, page=page)


def webhook(secret: Secret, wake: Callable[[], None], every_seconds: float = _EVERY_SECONDS) -> Post:
    """Return the handler of the POST: it answers 202 and wakes the loop if the sender knows the secret, else 401.

    The first request wakes the loop at once. All requests in the `every_seconds` after it wake it once, at their end.
    Raises UsageError if the secret is too short.
    """
    key = secret.get_secret_value().encode()
    if len(key) < SHORTEST_SECRET:
        next_step = f"use at least {SHORTEST_SECRET} characters, for example from openssl rand -hex 32"
        raise UsageError("the webhook's secret is too short", next_step)
    wake_soon = Gathered(wake, every_seconds)

    def answer(headers: Headers, body: bytes) -> Answer:
        if not is_genuine(key, headers, body):
            return 401, TEXT, b"the signature is missing or wrong\n"
        wake_soon()
        return 202, TEXT, b"accepted\n"

    return answer


def is_genuine(key: bytes, headers: Headers, body: bytes) -> bool:
    """True if the sender knows the secret: at least one signature header is present, and all of them verify."""
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
    """Calls `wake` at once, then at most once per `every_seconds`. The last call is never lost."""

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
