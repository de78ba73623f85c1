"""The keys a host shows, and what this machine knows of them. Nobody logs in for this."""

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
# A host has a key of each of several kinds and shows the first one that is asked for. This is OpenSSH's order.
_ALGORITHMS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip


@dataclass(frozen=True)
class ShownKey:
    """The line for fleet.yaml, its fingerprint as `ssh-keygen -l` prints it, and whether known_hosts has it.

    `others` are the fingerprints of the host's other keys, if it took those to find out.
    """

    line: str
    fingerprint: str
    known: Known
    login: str  # the user ~/.ssh/config names for this host, or ""
    others: tuple[str, ...] = ()


async def ask_host_key(
    name: str, address: str, port: int | None, *, fingerprint: str | None = None, pinned: str | None = None
) -> ShownKey:
    """The host's key with that fingerprint, if it has one; else of the kind of the pinned key, or as OpenSSH chooses.

    Raises HostUnreachable, and HostRefused when files of ~/.ssh cannot be used.
    """
    import asyncssh

    try:
        given = _connection_options(address, port)
        options = asyncssh.SSHClientConnectionOptions(**given)
        known, revoked = _known_keys(options, address)
        wanted = [asyncssh.import_public_key(pinned)] if pinned else known
        shown: list[asyncssh.SSHKey] = []
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            async for key in _keys(address, given, _algorithms(wanted)):
                shown.append(key)
                if fingerprint is None or key.get_fingerprint() == fingerprint:
                    break
    except TimeoutError:
        raise HostUnreachable(name, "no answer in time", f"ssh {address}") from None
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError) as error:
        raise HostRefused(name, f"~/.ssh cannot be used: {error}", "correct that file") from error
    except (asyncssh.Error, OSError) as error:
        raise HostUnreachable(name, plain_words(error), f"ssh {address}") from error
    if not shown:
        raise HostUnreachable(name, "it shows no host key", f"ssh {address}")
    prints = [each.get_fingerprint() for each in shown]
    key = shown[prints.index(fingerprint) if fingerprint in prints else 0]
    line = b" ".join(key.export_public_key("openssh").split()[:2]).decode()
    trust: Known = "known" if key in known else "changed" if known else "unknown"
    if key in revoked:
        trust = "revoked"
    others = tuple(each for each in prints if each != key.get_fingerprint())
    return ShownKey(line, key.get_fingerprint(), trust, str(options.config.get("User", "")), others)


async def _keys(address: str, given: dict[str, Any], algorithms: list[str]) -> AsyncIterator[asyncssh.SSHKey]:
    """Each key the host has of these algorithms, one connection each."""
    import asyncssh

    found = False
    while algorithms:
        options = asyncssh.SSHClientConnectionOptions(connect_timeout=CONNECT_SECONDS, **given)
        try:
            # As an argument: get_server_host_key sets those of its options aside.
            key = await asyncssh.get_server_host_key(address, options=options, server_host_key_algs=algorithms)
        except (asyncssh.Error, OSError):
            if found:  # it has no further kind: it closes, or says so
                return
            raise
        if key is None:
            return
        yield key
        found = True
        used = {each.decode() for each in key.sig_algorithms}
        algorithms = [each for each in algorithms if each not in used]


def _algorithms(wanted: list[asyncssh.SSHKey]) -> list[str]:
    """What to ask for, in this order: the kinds of the wanted keys, then the others."""
    kinds = {each.decode() for key in wanted for each in key.sig_algorithms}
    return sorted(_ALGORITHMS, key=lambda each: each not in kinds)


def _connection_options(address: str, port: int | None) -> dict[str, Any]:
    config = Path("~/.ssh/config").expanduser()
    files = {"config": [str(config)]} if config.is_file() else {}
    return {"host": address} | files | ({"port": port} if port else {})


def _known_keys(
    options: asyncssh.SSHClientConnectionOptions, address: str
) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
    """What known_hosts has for this host, and what it forbids."""
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
