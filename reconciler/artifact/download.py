"""HTTPS reads within limits of size, time and trust. Plain HTTP is allowed from this machine only.

Certificates are always checked; proxies come from the usual environment variables. Messages and logs contain
only the host and path of an address, never a password or a token in the query.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from reconciler.artifact.cache import cache_errors
from reconciler.artifact.spool import Limits, size_text
from reconciler.clock import retry
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.words import printable

if TYPE_CHECKING:
    import httpx2

Progress = Callable[[int, int | None], None]  # bytes so far and, where known, their total
_T = TypeVar("_T")

LARGEST_BYTES: Final = Limits().artifact_bytes
LONGEST_SECONDS: Final = 15 * 60.0
PAUSES_SECONDS: Final = (0.5, 2.0)  # before the second and the third attempt
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0
_MOST_REDIRECTS: Final = 5
_GONE: Final = (404, 410)


def check_address(address: str) -> SplitResult:
    """Return the parts of an address that may be fetched. Raises ArtifactRefused for any other."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ArtifactRefused("the artifact address is not valid", "correct artifact.source") from None
    if not host or any(not letter.isprintable() or letter.isspace() for letter in address):
        raise ArtifactRefused("the artifact address is not valid", "correct artifact.source")
    if parts.scheme.lower() != "https" and not _is_loopback(host):
        raise ArtifactRefused(
            f"{readable_address(address)} is not an https:// address", "publish the artifact over https"
        )
    return parts


def readable_address(address: str) -> str:
    """Return the address in printable form, without user, password and query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an invalid address"
    place = parts.netloc.rpartition("@")[2]
    return printable(urlunsplit((parts.scheme, place, parts.path, "", ""))) + ("?…" if parts.query else "")


def sibling_address(address: str, name: str) -> str:
    """Return the address of the file `name` in the same folder."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0] + "/" + name, query="", fragment=""))


def file_name(address: str) -> str:
    """Return the last part of the path, decoded."""
    return unquote(urlsplit(address).path.rpartition("/")[2])


@dataclass(frozen=True)
class Question:
    """One GET request. `authorization` is sent to the host in `address` only, never to the target of a redirect."""

    address: str
    accept: str = "*/*"
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True)
class Answer:
    """A complete response with any status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    redirected: bool = False  # another host may have answered

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


async def download(question: Question, file: BinaryIO, progress: Progress, largest: int | None = None) -> str:
    """Write the body to `file`, which must be empty, and return its sha256. Raises ArtifactError."""
    largest = LARGEST_BYTES if largest is None else largest

    async def once() -> str:
        with cache_errors():
            file.seek(0)
            file.truncate()
        digest, done = hashlib.sha256(), 0
        async with _open_response(question) as response:
            _check_status(response.status_code, question.address)
            total = _length(response)
            if (total or 0) > largest:
                raise _too_large_error(question.address, largest)
            async for piece in response.aiter_raw():
                done += len(piece)
                if done > largest:
                    raise _too_large_error(question.address, largest)
                digest.update(piece)
                with cache_errors():
                    file.write(piece)
                progress(done, total)
        return digest.hexdigest()

    return await _within(once, LONGEST_SECONDS, question.address)


async def ask(question: Question, largest: int) -> Answer:
    """Return the answer to a small request, retried after network and server errors. Raises ArtifactError."""

    async def once() -> Answer:
        pieces, size = [], 0
        async with _open_response(question) as response:
            if response.status_code >= 500 or response.status_code == 429:
                _check_status(response.status_code, question.address)
            async for piece in response.aiter_raw():
                pieces.append(piece)
                size += len(piece)
                if size > largest:
                    raise _too_large_error(question.address, largest)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, headers, b"".join(pieces), str(response.url) != question.address)

    return await _within(once, 2 * _SILENCE_SECONDS, question.address)


async def redirect_of(question: Question) -> tuple[int, str | None]:
    """Return the status of the first response, and the address it redirects to, or None."""

    async def once() -> tuple[int, str | None]:
        async with _open_response(question, follow=False) as response:
            location = response.headers["Location"] if response.has_redirect_location else None
            return response.status_code, location and _redirect_address(question.address, location)

    return await _within(once, 2 * _SILENCE_SECONDS, question.address)


async def read_text(question: Question, largest: int) -> str | None:
    """Return a small text, or None if the server answers 404 or 410."""
    answer = await ask(question, largest)
    if answer.status in _GONE:
        return None
    _check_status(answer.status, question.address)
    return answer.text


class _MayPass(ArtifactUnavailable):
    """A network or server error that may be over in a moment."""


async def _within(once: Callable[[], Awaitable[_T]], seconds: float, address: str) -> _T:
    """Return the result of `once`, called up to three times after a _MayPass error, within `seconds` in all."""
    try:
        async with asyncio.timeout(seconds):
            return await retry(once, _MayPass, PAUSES_SECONDS)
    except TimeoutError as error:
        raise ArtifactUnavailable(
            f"{readable_address(address)} was not read within {seconds:g} s",
            "try again, or move the artifact to a faster server",
        ) from error


@asynccontextmanager
async def _open_response(question: Question, *, follow: bool = True) -> AsyncIterator[httpx2.Response]:
    """Open the response after redirects, each of which must lead to an address that may be fetched."""
    import httpx2  # takes 75 ms, and only addresses need it

    for name in ("httpx2", "httpcore2"):  # they log complete addresses, tokens included
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    headers = {"User-Agent": "reconcile", "Accept": question.accept, "Accept-Encoding": "identity"}
    address = question.address
    try:
        async with httpx2.AsyncClient(timeout=timeout, headers=headers, follow_redirects=False) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                parts = check_address(address)
                bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
                async with client.stream("GET", bare, headers=_authorization_headers(question, parts)) as response:
                    if not follow or not response.has_redirect_location:
                        yield response
                        return
                    address = _redirect_address(address, response.headers["Location"])
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise _MayPass(
            f"{readable_address(address)} could not be read: {_reason(error)}",
            "check the address and the network, then try again",
        ) from error
    raise ArtifactUnavailable(
        f"{readable_address(address)}: more than {_MOST_REDIRECTS} redirects", "correct artifact.source"
    )


def _reason(error: Exception) -> str:
    """Return why a request failed, without any byte of the server: the library quotes header lines that it refuses."""
    import httpx2

    text = printable(str(error))
    if isinstance(error, httpx2.RemoteProtocolError):
        return "the connection was closed too early" if "closed" in text or "disconnected" in text else "not valid HTTP"
    return text or type(error).__name__


def _authorization_headers(question: Question, parts: SplitResult) -> dict[str, str]:
    """Return the Authorization header for this host, if it is the one that the credentials are for."""
    if question.authorization and _origin(parts) == _origin(urlsplit(question.address)):
        return {"Authorization": question.authorization}
    if parts.username is None:
        return {}
    return {"Authorization": basic_authorization(unquote(parts.username), unquote(parts.password or ""))}


def basic_authorization(user: str, password: str) -> str:
    """Return the value of an Authorization header for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(scheme)


def _redirect_address(address: str, location: str) -> str:
    # A relative location keeps the host, and so the credentials. They are never sent to another host.
    try:
        target = urljoin(address, location)
    except ValueError:
        raise ArtifactUnavailable(
            f"{readable_address(address)} redirects to an invalid address", "correct artifact.source"
        ) from None
    if address[:6].lower() == "https:" and target[:6].lower() != "https:":
        raise ArtifactRefused(
            f"{readable_address(address)} redirects to {readable_address(target)}, which is not https://",
            "publish the artifact over https",
        )
    return target


def _check_status(status: int, address: str) -> None:
    if status == 200:
        return
    message = f"{readable_address(address)} answers {status}"
    if status in _GONE:
        raise ArtifactMissing(message, "publish it there, or correct artifact.source")
    if status >= 500 or status == 429:
        raise _MayPass(message, "try again later")
    steps = {
        401: "provide credentials for artifact.source",
        403: "check that the artifact may be read from here",
    }
    raise ArtifactUnavailable(message, steps.get(status, "correct artifact.source"))


def _length(response: httpx2.Response) -> int | None:
    stated = response.headers.get("Content-Length", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 19 else None


def _too_large_error(address: str, largest: int) -> ArtifactRefused:
    return ArtifactRefused(
        f"{readable_address(address)} is larger than {size_text(largest)}", "leave out what is not needed"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
