"""An address read within limits of size, time and trust: HTTPS, or plain HTTP from this machine only.

Certificates are always checked; proxies come from the usual environment variables. Of an address only host
and path are printed or logged, never a password or a token in the query.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from reconciler.artifact.spool import Limits, size_text
from reconciler.errors import ArtifactRefused, ArtifactUnavailable

if TYPE_CHECKING:
    import httpx2

LARGEST_BYTES: Final = Limits().artifact_bytes
LONGEST_SECONDS: Final = 15 * 60.0
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0
_MOST_REDIRECTS: Final = 5
_GONE: Final = (404, 410)


def check_address(address: str) -> SplitResult:
    """The parts of an address that may be asked; ArtifactRefused for any other."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ArtifactRefused("the artifact address cannot be read", "correct artifact.source") from None
    if not host or any(not letter.isprintable() or letter.isspace() for letter in address):
        raise ArtifactRefused("the artifact address cannot be read", "correct artifact.source")
    if parts.scheme.lower() != "https" and not _is_loopback(host):
        raise ArtifactRefused(f"{shown(address)} is not an https:// address", "publish the artifact over https")
    return parts


def shown(address: str) -> str:
    """The address for people to read: without user, password and query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that cannot be read"
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", "")) + ("?…" if parts.query else "")


def beside(address: str, name: str) -> str:
    """The address of another file in the same folder."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0] + "/" + name, query="", fragment=""))


def file_name(address: str) -> str:
    """The last part of the path."""
    return unquote(urlsplit(address).path.rpartition("/")[2])


async def download(address: str, keep: Callable[[bytes], None], progress: Callable[[int, int | None], None]) -> str:
    """Hand every piece to `keep`; the sha256 of them all."""
    digest, done = hashlib.sha256(), 0
    async with _within(LONGEST_SECONDS, address), _opened(address) as response:
        _check_status(response.status_code, address)
        total = _length(response)
        if (total or 0) > LARGEST_BYTES:
            raise _too_large(address, LARGEST_BYTES)
        async for piece in response.aiter_raw():
            done += len(piece)
            if done > LARGEST_BYTES:
                raise _too_large(address, LARGEST_BYTES)
            digest.update(piece)
            keep(piece)
            progress(done, total)
    return digest.hexdigest()


async def download_text(address: str, largest: int) -> str | None:
    """A small text, or None where the server says there is none."""
    pieces, size = [], 0
    async with _within(2 * _SILENCE_SECONDS, address), _opened(address) as response:
        if response.status_code in _GONE:
            return None
        _check_status(response.status_code, address)
        async for piece in response.aiter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > largest:
                raise _too_large(address, largest)
    return b"".join(pieces).decode("utf-8", "replace")


@asynccontextmanager
async def _within(seconds: float, address: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ArtifactUnavailable(
            f"{shown(address)} was not read within {seconds:g} s", "try again, or bring the artifact nearer"
        ) from error


@asynccontextmanager
async def _opened(address: str) -> AsyncIterator[httpx2.Response]:
    """The response after redirects, each of which has to be an address we may ask."""
    import httpx2  # 75 ms, and only needed for addresses

    for name in ("httpx2", "httpcore2"):  # their lines hold whole addresses, tokens in them included
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    headers = {"User-Agent": "reconcile", "Accept": "*/*", "Accept-Encoding": "identity"}
    try:
        async with httpx2.AsyncClient(timeout=timeout, headers=headers, follow_redirects=False) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                parts = check_address(address)
                bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
                async with client.stream("GET", bare, auth=_credentials(parts)) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    address = _redirected(address, response.headers["Location"])
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        reason = str(error) or type(error).__name__
        raise ArtifactUnavailable(
            f"{shown(address)} could not be read: {reason}",
            "check the address and the network, then try again",
        ) from error
    raise ArtifactUnavailable(f"{shown(address)}: more than {_MOST_REDIRECTS} redirects", "correct artifact.source")


def _redirected(address: str, location: str) -> str:
    # A relative one keeps the credentials since it keeps the host; to another host they never go.
    try:
        target = urljoin(address, location)
    except ValueError:
        raise ArtifactUnavailable(f"{shown(address)} leads to an address that cannot be read") from None
    if address[:6].lower() == "https:" and target[:6].lower() != "https:":
        raise ArtifactRefused(
            f"{shown(address)} leads to {shown(target)}, which is not https://",
            "publish the artifact over https",
        )
    return target


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _check_status(status: int, address: str) -> None:
    if status == 200:
        return
    steps = {
        401: "put credentials where artifact.source can use them",
        403: "check that the artifact may be read from here",
        404: "publish it there, or correct artifact.source",
    }
    step = steps.get(status, "try again later" if status >= 500 or status == 429 else "correct artifact.source")
    raise ArtifactUnavailable(f"{shown(address)} answers {status}", step)


def _length(response: httpx2.Response) -> int | None:
    stated = response.headers.get("Content-Length", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 19 else None


def _too_large(address: str, largest: int) -> ArtifactRefused:
    return ArtifactRefused(f"{shown(address)} is larger than {size_text(largest)}", "leave out what is not needed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
