"""The key a host shows, and what this machine knows of it. Nobody logs in for this."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reconciler.errors import HostUnreachable
from reconciler.host.ssh import CONNECT_SECONDS
from reconciler.host.wording import plainly

if TYPE_CHECKING:
    import asyncssh

Known = Literal["known", "unknown", "changed"]


@dataclass(frozen=True)
class ShownKey:
    """The line for fleet.yaml, its fingerprint as `ssh-keygen -l` prints it, and whether known_hosts has it."""

    line: str
    fingerprint: str
    known: Known
    login: str  # the user ~/.ssh/config names for this host, or ""


async def shown_key(name: str, address: str, port: int | None) -> ShownKey:
    """Ask for the key. Raises HostUnreachable."""
    import asyncssh

    try:
        given = _given(address, port)
        options = asyncssh.SSHClientConnectionOptions(**given)
        known = _known_keys(options, address)
        if known:
            given["server_host_key_algs"] = sorted({alg.decode() for key in known for alg in key.sig_algorithms})
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            key = await asyncssh.get_server_host_key(
                address, options=asyncssh.SSHClientConnectionOptions(connect_timeout=CONNECT_SECONDS, **given)
            )
    except TimeoutError:
        raise HostUnreachable(name, "no answer in time", f"ssh {address}") from None
    except (asyncssh.Error, OSError) as error:
        raise HostUnreachable(name, plainly(error), f"ssh {address}") from error
    if key is None:
        raise HostUnreachable(name, "it shows no host key", f"ssh {address}")
    line = b" ".join(key.export_public_key("openssh").split()[:2]).decode()
    trust: Known = "unknown" if not known else "known" if key in known else "changed"
    return ShownKey(line, key.get_fingerprint(), trust, str(options.config.get("User", "")))


def _given(address: str, port: int | None) -> dict[str, Any]:
    config = Path("~/.ssh/config").expanduser()
    files = {"config": [str(config)]} if config.is_file() else {}
    return {"host": address} | files | ({"port": port} if port else {})


def _known_keys(options: asyncssh.SSHClientConnectionOptions, address: str) -> list[asyncssh.SSHKey]:
    """What known_hosts has for this host."""
    import asyncssh

    where = options.known_hosts
    if where is None:
        return []
    if not where:
        usual = Path("~/.ssh/known_hosts").expanduser()
        where = str(usual) if usual.is_file() else b""
    host = options.host_key_alias or options.host or address
    port = options.port if options.port not in ((), 22) else None
    return list(asyncssh.match_known_hosts(where, host, "", port)[0])
