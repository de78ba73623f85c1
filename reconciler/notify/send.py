"""Requests over HTTPS within bounds: of time, of answers, of attempts. Redirects are not followed.

What goes wrong is said without the address: it may be a password.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from reconciler.clock import Sleep, retry, sleep_seconds
from reconciler.notify.formats import Request

if TYPE_CHECKING:
    import httpx2

ATTEMPT_SECONDS: Final = 10.0
PAUSES_SECONDS: Final = (1.0, 4.0)  # before the second and the third attempt
LARGEST_ANSWER: Final = 1 << 20


class Undelivered(Exception):
    """Why a request was not taken, in fixed words. Never leaves this package."""


class Unreached(Undelivered):
    """Nobody took it, in several attempts; it may be taken later."""


class Sender:
    """Sends over one client: connections are kept for the next request."""

    def __init__(self, client: httpx2.AsyncClient, sleep: Sleep) -> None:
        self._client = client
        self._sleep = sleep

    async def send(self, request: Request) -> object:
        """The JSON of a 2xx answer, None where it is none. Raises Undelivered."""
        return await retry(lambda: self._once(request), Unreached, PAUSES_SECONDS, self._sleep)

    async def _once(self, request: Request) -> object:
        import httpx2

        try:
            async with (
                asyncio.timeout(ATTEMPT_SECONDS),
                self._client.stream(
                    request.method, request.url, content=request.body, headers=request.headers
                ) as response,
            ):
                status, answer = response.status_code, await _read(response)
        except (TimeoutError, httpx2.TimeoutException):
            raise Unreached(f"no answer within {ATTEMPT_SECONDS:g} s") from None
        except httpx2.TransportError as error:
            # Only the class: the message may hold the address.
            raise Unreached(f"no connection ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            raise Undelivered(f"cannot be asked ({type(error).__name__})") from None
        if 200 <= status < 300:
            return answer
        raise (Unreached if status >= 500 else Undelivered)(f"answered {status}")


@asynccontextmanager
async def sender(*, sleep: Sleep = sleep_seconds) -> AsyncIterator[Sender]:
    """A sender for a few requests in a row."""
    import httpx2  # 75 ms, and only when there is something to say

    for name in ("httpx2", "httpcore2"):  # their lines hold whole addresses
        logging.getLogger(name).setLevel(logging.WARNING)
    headers = {"User-Agent": "reconcile", "Accept-Encoding": "identity"}
    timeout = httpx2.Timeout(ATTEMPT_SECONDS, connect=ATTEMPT_SECONDS / 2)
    async with httpx2.AsyncClient(timeout=timeout, headers=headers, follow_redirects=False) as client:
        yield Sender(client, sleep)


async def _read(response: httpx2.Response) -> object:
    taken = bytearray()
    async for piece in response.aiter_raw():
        taken += piece
        if len(taken) > LARGEST_ANSWER:
            return None
    try:
        return json.loads(taken)
    except (ValueError, RecursionError):
        return None
