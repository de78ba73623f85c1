"""The host keys that a host presents, and whether this machine knows them. Asking for them does not need a login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.errors import HostRefused, HostUnreachable
from reconciler.host.ssh import CONNECT_SECONDS
from reconciler.host.wording import plain_words

if TYPE_CHECKING:
    import asyncssh

Known = Literal["known", "unknown", "changed", "revoked"]
# A host has keys of several kinds and presents the first kind that the client asks for. This is OpenSSH's order.
_ALGORITHMS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip


@dataclass(frozen=True)
class ShownKey:
    """A host key: its line for fleet.yaml, its fingerprint as `ssh-keygen -l` prints it, and if known_hosts has it.

    `others` are the fingerprints of the host's other keys that were seen on the way.
    """

    line: str
    fingerprint: str
    known: Known
    login: str  # the user that ~/.ssh/config names for this host, or ""
    others: tuple[str, ...] = ()


async def ask_host_key(
    name: str, address: str, port: int | None, *, fingerprint: str | None = None, pinned: str | None = None
) -> ShownKey:
    """Return the host's key with that fingerprint, or else its first: of the pinned key's kind, or as OpenSSH chooses.

    Raises HostUnreachable, and HostRefused if files of ~/.ssh cannot be used.
    """
    import asyncssh

    try:
        settings = _connection_settings(address, port)
        options = asyncssh.SSHClientConnectionOptions(**settings)
        known, revoked = _known_keys(options, address)
        preferred = [asyncssh.import_public_key(pinned)] if pinned else known
        shown: list[asyncssh.SSHKey] = []
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            async for key in _keys(address, settings, _algorithms(preferred)):
                shown.append(key)
                if fingerprint is None or key.get_fingerprint() == fingerprint:
                    break
    except TimeoutError:
        raise HostUnreachable(name, "no answer in time", f"ssh {address}") from None
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError) as error:
        raise HostRefused(name, f"~/.ssh cannot be used: {error}", "fix that file") from error
    except (asyncssh.Error, OSError) as error:
        raise HostUnreachable(name, plain_words(error), f"ssh {address}") from error
    if not shown:
        raise HostUnreachable(name, "it does not present a host key", f"ssh {address}")
    fingerprints = [key.get_fingerprint() for key in shown]
    key = shown[fingerprints.index(fingerprint) if fingerprint in fingerprints else 0]
    line = b" ".join(key.export_public_key("openssh").split()[:2]).decode()
    trust: Known = "known" if key in known else "changed" if known else "unknown"
    if key in revoked:
        trust = "revoked"
    others = tuple(other for other in fingerprints if other != key.get_fingerprint())
    return ShownKey(line, key.get_fingerprint(), trust, str(options.config.get("User", "")), others)


async def _keys(address: str, settings: dict[str, Any], algorithms: list[str]) -> AsyncIterator[asyncssh.SSHKey]:
    """Yield every key that the host has for these algorithms, one connection per key."""
    import asyncssh

    found = False
    while algorithms:
        options = asyncssh.SSHClientConnectionOptions(connect_timeout=CONNECT_SECONDS, **settings)
        try:
            # The algorithms are an argument, since get_server_host_key ignores the ones in its options.
            key = await asyncssh.get_server_host_key(address, options=options, server_host_key_algs=algorithms)
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


def _algorithms(preferred: list[asyncssh.SSHKey]) -> list[str]:
    """Return the algorithms to ask for, in order: those of the preferred keys, then the others."""
    kinds = {algorithm.decode() for key in preferred for algorithm in key.sig_algorithms}
    return sorted(_ALGORITHMS, key=lambda algorithm: algorithm not in kinds)


def _connection_settings(address: str, port: int | None) -> dict[str, Any]:
    config = Path("~/.ssh/config").expanduser()
    files = {"config": [str(config)]} if config.is_file() else {}
    return {"host": address} | files | ({"port": port} if port else {})


def _known_keys(
    options: asyncssh.SSHClientConnectionOptions, address: str
) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
    """Return the keys that known_hosts trusts for this host, and those it revokes."""
    import asyncssh

    where = options.known_hosts
    if where is None:
        return [], []
    if not where:
        usual = Path("~/.ssh/known_hosts").expanduser()
        where = str(usual) if usual.is_file() else b""
    host = options.host_key_alias or options.host or address
    port = options.port if options.port not in ((), 22) else None
    keys, _, revoked, *_ = asyncssh.match_known_hosts(where, host, "", port)
    return list(keys), list(revoked)
