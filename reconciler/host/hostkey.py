"""The host keys that a host presents, and whether this machine knows them. Asking for them does not need a login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reconciler.errors import HostUnreachable
from reconciler.host.known_hosts import KnownKeys, known_keys
from reconciler.host.ssh_connect import CONNECT_SECONDS, connect_error, open_tunnel
from reconciler.host.ssh_options import connection_options, host_key_algorithms
from reconciler.host.ssh_resolve import resolve

if TYPE_CHECKING:
    import asyncssh

USUAL_USER = "root"  # of a server that nobody has set up
Known = Literal["known", "unknown", "changed", "revoked"]


@dataclass(frozen=True)
class ShownKey:
    """A host key: its line for fleet.yaml, its fingerprint as `ssh-keygen -l` prints it, and if known_hosts has it.

    `others` are the fingerprints of the host's other keys that were seen on the way.
    """

    line: str
    fingerprint: str
    known: Known
    login: str  # the user that ~/.ssh/config names for this host, or USUAL_USER
    others: tuple[str, ...] = ()


async def ask_host_key(
    name: str, address: str, port: int | None, *, fingerprint: str | None = None, pinned: str | None = None
) -> ShownKey:
    """Return the host's key with that fingerprint, or else its first: of the pinned key's kind, or as OpenSSH chooses.

    A key that is signed by a known authority counts as known. Raises HostUnreachable, and HostRefused if files of
    ~/.ssh cannot be used.
    """
    import asyncssh

    settings = await resolve(name, address, None, port, usual_user=USUAL_USER)
    known = known_keys(settings)
    preferred = KnownKeys((asyncssh.import_public_key(pinned),)) if pinned else KnownKeys(known.own)
    options = connection_options(settings) | {"connect_timeout": CONNECT_SECONDS}
    shown: list[asyncssh.SSHKey] = []
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            tunnel = await open_tunnel(name, settings)
            options["tunnel"] = tunnel or ()
            signed = await _signed_key(options, host_key_algorithms(settings, known), known)
            if signed and not fingerprint and not pinned:
                shown.append(signed)
            else:
                async for key in _keys(options, host_key_algorithms(settings, preferred)):
                    shown.append(key)
                    if fingerprint is None or key.get_fingerprint() == fingerprint:
                        break
            if tunnel:
                tunnel.abort()
    except TimeoutError:
        raise HostUnreachable(name, "no answer in time", f"ssh {address}") from None
    except (asyncssh.Error, OSError) as error:
        raise connect_error(name, address, error) from error
    if not shown:
        raise HostUnreachable(name, "it does not present a host key", f"ssh {address}")
    fingerprints = [key.get_fingerprint() for key in shown]
    key = shown[fingerprints.index(fingerprint) if fingerprint in fingerprints else 0]
    line = b" ".join(key.export_public_key("openssh").split()[:2]).decode()
    others = tuple(other for other in fingerprints if other != key.get_fingerprint())
    trust = "known" if key == signed else _trust(key, known)
    return ShownKey(line, key.get_fingerprint(), trust, settings.user or USUAL_USER, others)


def _trust(key: asyncssh.SSHKey, known: KnownKeys) -> Known:
    if key in known.revoked:
        return "revoked"
    return "known" if key in known.own else "changed" if known.own else "unknown"


async def _signed_key(options: dict[str, Any], algorithms: list[str], known: KnownKeys) -> asyncssh.SSHKey | None:
    """Return the host's key if it is signed by a known authority, valid, for this host, and not revoked."""
    import asyncssh

    class Client(asyncssh.SSHClient):
        """Notes the host key once it was accepted: a login, which is refused, begins only then."""

        connection: asyncssh.SSHClientConnection | None = None
        key: asyncssh.SSHKey | None = None

        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            self.connection = conn

        def public_key_auth_requested(self) -> None:
            pass

    certificates = [algorithm for algorithm in algorithms if "-cert-" in algorithm]
    if not known.authorities or not certificates:
        return None
    client = Client()
    lists = KnownKeys((), known.authorities, known.revoked).lists
    try:
        connection = await asyncssh.connect(
            **options | {"username": "nobody"}, client_factory=lambda: client, known_hosts=lists,
            server_host_key_algs=certificates, client_keys=None, login_timeout=CONNECT_SECONDS,
        )  # fmt: skip
        connection.abort()
    except asyncssh.PermissionDenied:
        pass
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
        return None
    return client.connection.get_server_host_key() if client.connection else None


async def _keys(options: dict[str, Any], algorithms: list[str]) -> AsyncIterator[asyncssh.SSHKey]:
    """Yield every key that the host has for these algorithms, one connection per key."""
    import asyncssh

    taken = ("host", "port", "tunnel", "proxy_command", "family", "local_addr", "kex_algs", "config")
    direct = {key: value for key, value in options.items() if key in taken}
    others = {key: value for key, value in options.items() if key not in taken}
    more = asyncssh.SSHClientConnectionOptions(**others, config=None, client_keys=None)
    found = False
    while algorithms:
        try:
            key = await asyncssh.get_server_host_key(**direct, options=more, server_host_key_algs=algorithms)
        except (asyncssh.Error, OSError):
            if found:  # the host has no key of another kind: it refuses or closes the connection
                return
            raise
        if key is None:
            return
        yield key
        found = True
        used = {algorithm.decode() for algorithm in key.sig_algorithms}
        algorithms = [algorithm for algorithm in algorithms if algorithm not in used]
