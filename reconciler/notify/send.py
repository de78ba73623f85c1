"""HTTPS requests with limits on time, answer size and attempts. Redirects are not followed.

Errors never contain the address: it may be a credential.
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
    """A request was not accepted. The message has fixed words. It never leaves this package."""


class Unreached(Undelivered):
    """The server could not be reached, or failed, in several attempts. A later one may succeed."""


class Sender:
    """Sends requests over one client, which keeps its connections for the next request."""

    def __init__(self, client: httpx2.AsyncClient, sleep: Sleep) -> None:
        self._client = client
        self._sleep = sleep

    async def send(self, request: Request) -> object:
        """Send a request, with retries. Return the JSON of a 2xx answer, None if it is not JSON. Raises Undelivered."""
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
            # Only the class: the message may contain the address.
            raise Unreached(f"no connection ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            raise Undelivered(f"the request failed ({type(error).__name__})") from None
        if 200 <= status < 300:
            return answer
        raise (Unreached if status >= 500 else Undelivered)(f"answered {status}")


@asynccontextmanager
async def sender(*, sleep: Sleep = sleep_seconds) -> AsyncIterator[Sender]:
    """Open a sender for a few requests in a row."""
    import httpx2  # takes 75 ms, and only news need it

    for name in ("httpx2", "httpcore2"):  # they log complete addresses
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
