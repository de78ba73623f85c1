"""Asks and writes etcd, from a host that reaches it. `tools.etcd` knows what etcd is told and what it answers.

The connection goes through a host by SSH, so that the controller needs no way into the private network, and etcd no
port to the outside. It ends in a Unix socket of this machine which nobody else can open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from reconciler.errors import HostError
from reconciler.host.transport import Transport
from reconciler.host.tunnel import open_socket_tunnel
from reconciler.model.etcd import PORT
from reconciler.tools import etcd
from reconciler.tools.etcd import EtcdAccess, Kept

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

MEMBER_SECONDS: Final = 4.0  # for one member: one that has lost the others answers only after several seconds
LARGEST_ANSWER: Final = 8 * 1024 * 1024


class EtcdFailed(Exception):
    """etcd did not do what it was asked. `str()` says why, in one printable line."""


class _Member(Exception):
    """This member did not answer, or cannot: another one may."""


class Etcd:
    """A cluster, asked one question after the other by one connection, for as long as the same member answers."""

    def __init__(self, host: Transport, access: EtcdAccess) -> None:
        self._host, self._access = host, access
        self._endpoints = list(access.endpoints)
        self._kept = contextlib.AsyncExitStack()
        self._client: httpx2.AsyncClient | None = None
        self._refused: list[HostError] = []  # why the host could not connect
        self._token = ""

    async def look(self, keys: Iterable[str], prefixes: Iterable[str]) -> dict[str, Kept]:
        """Return these keys, and all below these prefixes, as they were at one moment. Raises EtcdFailed, HostError."""
        return await self._ask(etcd.look_question(keys, prefixes), etcd.read_look)

    async def write(self, put: Mapping[str, str], remove: Iterable[str], unchanged: Mapping[str, int]) -> bool:
        """Write all of it if each key of `unchanged` has this revision. False if one had another.

        Raises EtcdFailed and HostError: it may have been written nevertheless.
        """
        return await self._ask(etcd.write_question(put, remove, unchanged), etcd.read_written)

    async def close(self) -> None:
        """Close the connection. The next question opens a new one."""
        kept, self._kept = self._kept, contextlib.AsyncExitStack()
        self._client, self._token = None, ""
        await kept.aclose()

    async def _ask(self, body: bytes, read: Callable[[bytes], T]) -> T:
        reasons = []
        for endpoint in tuple(self._endpoints):
            try:
                async with asyncio.timeout(MEMBER_SECONDS):
                    return read(await self._ask_member(endpoint, body))
            except TimeoutError:
                reasons.append(f"{endpoint}: no answer within {MEMBER_SECONDS:g} s")
            except _Member as error:
                reasons.append(f"{endpoint}: {error}")
            except etcd.NotEtcds:
                reasons.append(f"{endpoint}: this is no etcd")
            await self.close()
            self._endpoints.append(self._endpoints.pop(0))
        raise EtcdFailed(f"no member of etcd answers; {'; '.join(reasons)}")

    async def _ask_member(self, endpoint: str, body: bytes) -> bytes:
        import httpx2

        try:
            client = self._client = self._client or await self._connect(endpoint)
            if self._access.user and not self._token:
                question = etcd.login_question(self._access.user, self._access.password)
                self._token = etcd.read_token(await _post(client, etcd.LOGIN, question, ""))
            return await _post(client, etcd.TXN, body, self._token)
        except (httpx2.HTTPError, OSError) as error:  # with TLS 1.3 a refused certificate is an ssl.SSLError of a read
            if self._refused:
                raise self._refused.pop() from None
            raise _Member(_words(error)) from None

    async def _connect(self, endpoint: str) -> httpx2.AsyncClient:
        import httpx2  # takes 75 ms, and only etcd and news need it

        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        parts = urlsplit(endpoint)
        folder = self._kept.enter_context(tempfile.TemporaryDirectory(prefix="reconcile-"))  # mode 0700
        verify = _tls(self._access, Path(folder)) if parts.scheme == "https" else False
        socket = f"{folder}/etcd"
        address, port = parts.hostname or "", parts.port or PORT
        tunnel = await open_socket_tunnel(self._host, port, address, socket, self._refused.append)
        self._kept.callback(tunnel.close)
        transport = httpx2.AsyncHTTPTransport(verify=verify, uds=socket, trust_env=False)
        client = httpx2.AsyncClient(transport=transport, base_url=endpoint, timeout=MEMBER_SECONDS, trust_env=False)
        return await self._kept.enter_async_context(client)


async def _post(client: httpx2.AsyncClient, path: str, body: bytes, token: str) -> bytes:
    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    async with client.stream("POST", path, content=body, headers=headers) as response:
        taken = bytearray()
        async for piece in response.aiter_bytes():
            taken += piece
            if len(taken) > LARGEST_ANSWER:
                raise _Member("the answer is too long")
    if response.status_code == 200:
        return bytes(taken)
    refusal = etcd.read_refusal(response.status_code, bytes(taken))
    if refusal.passing:
        raise _Member(refusal.reason)
    raise EtcdFailed(f"etcd refuses: {refusal.reason}")


def _tls(access: EtcdAccess, folder: Path) -> ssl.SSLContext:
    """Raises EtcdFailed if a certificate or a key cannot be read."""
    try:
        context = ssl.create_default_context(cadata=access.ca or None)
        if access.certificate:
            # Python takes them from a file only. It lies in a folder of our own, for a moment.
            pair = folder / "client.pem"
            pair.touch(mode=0o600)
            pair.write_text(f"{access.certificate}\n{access.key}\n", encoding="ascii")
            try:
                context.load_cert_chain(pair)
            finally:
                pair.unlink()
    except (ssl.SSLError, ValueError, UnicodeError):
        raise EtcdFailed("the certificates for etcd cannot be read: they must be PEM, with the key that fits") from None
    return context


def _words(error: Exception) -> str:
    """The cause in plain words: httpx2 repeats those of OpenSSL."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return "it does not accept our certificate, or there is none"
        cause = cause.__cause__ or cause.__context__
    return "the connection closed" if "Closed" in type(error).__name__ or not str(error) else "no connection"
