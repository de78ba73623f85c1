"""Serves the page with its headers, and news of changes as they happen.

Only GET and HEAD arrive here. A page is rendered in a thread, once for everyone who asks for the same, so that many
viewers neither delay the engine nor cost it more than one.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final, Protocol

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.daemon.http_server import TEXT, Headers, Request, Response
from reconciler.daemon.page_access import Access
from reconciler.page.index import Index
from reconciler.page.query import Query, read_query
from reconciler.page.render import ASSETS, asset, render
from reconciler.page.snapshot import Snapshot

EVENTS: Final = "/events"
CHALLENGE: Final = 'Basic realm="reconcile: any user, the token as password", charset="UTF-8"'
MOST_VIEWERS: Final = 128
MOST_KEPT: Final = 64  # rendered pages
_EVERY_SECONDS: Final = 1.0  # between two events for one viewer
_FRESH_SECONDS: Final = 0.5  # a snapshot that is no older is not made again
_STALE_SECONDS: Final = 10.0  # times such as "12 s ago" are no older than this
_HEARTBEAT_SECONDS: Final = 15.0
_HTML: Final = "text/html; charset=utf-8"
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
_KEPT: Final = ("Cache-Control", "private, max-age=31536000, immutable")  # an asset's address changes with its content


class News(Protocol):
    """A counter of changes that can be waited for."""

    @property
    def count(self) -> int: ...

    async def after(self, count: int) -> int:
        """Wait until the counter is above `count`; return it."""
        ...


class Source(Protocol):
    """What the page shows. `snapshot` asks no host."""

    @property
    def changes(self) -> News: ...

    def snapshot(self) -> Snapshot: ...


@dataclass
class PageServer:
    """Answers requests for the page."""

    source: Source
    access: Access = field(default_factory=Access)
    viewers: int = 0
    _index: Index | None = None
    _count: int = -1
    _made_seconds: float = 0.0
    _rendered: dict[Query, tuple[bytes, bytes] | None] = field(default_factory=dict)  # plain and compressed
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a GET or HEAD."""
        if self.access.closed:
            return _refusal(403, self.access.closed)
        if not self.access.expects(request.headers):
            return _refusal(421, "this page is not served under that name; --listen-name NAME allows it")
        if not self.access.admits(request.headers):
            challenge = (
                "WWW-Authenticate",
                'Basic realm="reconcile: any user, the token as password", charset="UTF-8"',
            )
            return _refusal(401, "the token is missing or wrong", challenge)
        name = request.path.removeprefix("/")
        if name in ASSETS:
            return Response(200, ASSETS[name], asset(name), (*_HEADERS, _KEPT))
        if request.path == EVENTS:
            return self._follow()
        return await self._page(request)

    async def _page(self, request: Request) -> Response:
        query = read_query(request.path, request.query)
        found = None if query is None else await self._render(query)
        if found is None:
            return _refusal(404, "there is nothing here")
        plain, compressed = found
        if _takes_gzip(request.headers):
            headers = (*_HEADERS, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
            return Response(200, _HTML, compressed, headers)
        return Response(200, _HTML, plain, (*_HEADERS, ("Vary", "Accept-Encoding")))

    async def _render(self, query: Query) -> tuple[bytes, bytes] | None:
        async with self._lock:
            index = await self._fresh_index()
            if query not in self._rendered:
                if len(self._rendered) >= MOST_KEPT:
                    self._rendered.pop(next(iter(self._rendered)))
                self._rendered[query] = await asyncio.to_thread(_render, index, query)
            return self._rendered[query]

    async def _fresh_index(self) -> Index:
        """The newest snapshot, but not a newer one than is worth its cost."""
        if self._index is not None and self._count == self.source.changes.count:
            if now_seconds() - self._made_seconds < _STALE_SECONDS:
                return self._index
        elif self._index is not None:
            await sleep_seconds(_FRESH_SECONDS - (now_seconds() - self._made_seconds))
        self._count, self._made_seconds = self.source.changes.count, now_seconds()
        self._rendered.clear()
        self._index = await asyncio.to_thread(Index, self.source.snapshot())
        return self._index

    def _follow(self) -> Response:
        if self.viewers >= MOST_VIEWERS:
            return _refusal(503, "too many viewers follow already; the page still renews itself now and then")
        return Response(200, "text/event-stream", self._events(), _HEADERS)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Say that something changed, at most once per _EVERY_SECONDS, until the viewer is gone."""
        self.viewers += 1
        try:
            yield b"retry: 3000\n\n"
            count = self.source.changes.count
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT_SECONDS):
                        count = await self.source.changes.after(count)
                except TimeoutError:
                    yield b": still here\n\n"  # finds out that a viewer is gone
                    continue
                yield b"event: changed\ndata:\n\n"
                await sleep_seconds(_EVERY_SECONDS)
        finally:
            self.viewers -= 1


def _render(index: Index, query: Query) -> tuple[bytes, bytes] | None:
    html = render(index, query)
    if html is None:
        return None
    plain = html.encode("utf-8", "replace")
    return plain, gzip.compress(plain, 5, mtime=0)


def _takes_gzip(headers: Headers) -> bool:
    return any("gzip" in value for value in headers.get("accept-encoding", ()))


def _refusal(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, TEXT, f"{text}\n".encode(), (*_HEADERS, *headers))
