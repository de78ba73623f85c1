"""Opens a connection with the settings that `ssh` would use. asyncssh gets each of them, and reads no configuration."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError, HostKeyRefused, HostRefused, HostUnreachable
from reconciler.host.identities import login_keys
from reconciler.host.known_hosts import KnownKeys, known_keys
from reconciler.host.ssh_library import import_asyncssh
from reconciler.host.ssh_options import connection_options, host_key_algorithms
from reconciler.host.ssh_resolve import resolve
from reconciler.host.ssh_settings import Settings
from reconciler.host.wording import plain_words

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 10
KEEPALIVE_SECONDS = 5  # three unanswered ones end the connection, so a dead link is noticed within 20 s
MOST_JUMPS = 8
_HOP = re.compile(r"(?:ssh://)?(?:([^@]+)@)?(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]+))?/?")


async def connect(
    name: str, address: str, *, user: str | None, port: int | None, host_key: str | None, compress: bool = False
) -> asyncssh.SSHClientConnection:
    """Connect to a host and log in. Its host key must be `host_key`, or one that known_hosts vouches for.

    With `compress`, both sides compress what they send, as with `Compression yes` in ~/.ssh/config.

    Raises HostUnreachable, HostRefused or HostKeyRefused.
    """
    resolving = asyncio.ensure_future(resolve(name, address, user, port))
    await asyncio.sleep(0)  # ssh starts, and runs while asyncssh is imported
    import_asyncssh()
    import asyncssh

    settings = await resolving
    settings = replace(settings, compression=settings.compression or compress)
    known = _demand_known(name, settings) if host_key is None else known_keys(settings)
    if host_key:
        known = KnownKeys((asyncssh.import_public_key(host_key),), (), known.revoked)
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            return await _log_in(name, settings, known, MOST_JUMPS)
    except TimeoutError:
        raise HostUnreachable(name, "no answer in time", f"ssh {address}") from None


def _demand_known(name: str, settings: Settings) -> KnownKeys:
    """Return the known keys. Raises HostKeyRefused if the configuration looks for none."""
    known = known_keys(settings)
    if not known.own and not known.authorities and set(settings.known_hosts) <= {"/dev/null"}:
        raise HostKeyRefused(
            name,
            "~/.ssh/config turns the host key check off (UserKnownHostsFile none)",
            "remove that line for this host, or pin host_key in fleet.yaml",
        )
    return known


async def _log_in(name: str, settings: Settings, known: KnownKeys, jumps: int) -> asyncssh.SSHClientConnection:
    import asyncssh

    options, algorithms = connection_options(settings), host_key_algorithms(settings, known)
    tunnel = await open_tunnel(name, settings, jumps)
    try:
        async with login_keys(name, settings) as keys:
            connection = await asyncssh.connect(
                **options, tunnel=tunnel or (), known_hosts=known.lists, server_host_key_algs=algorithms,
                client_keys=keys, agent_path="", connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS,
                keepalive_interval=KEEPALIVE_SECONDS, keepalive_count_max=3,
            )  # fmt: skip
    except BaseException as error:
        if tunnel:
            tunnel.abort()
        if isinstance(error, asyncssh.Error | OSError):
            way = "" if jumps == MOST_JUMPS else f"ProxyJump {settings.address}: "
            raise connect_error(name, settings.address, error, way) from error
        raise
    if tunnel:
        connection.set_tunnel(tunnel)  # it ends with the connection
    return connection


async def open_tunnel(name: str, settings: Settings, jumps: int = MOST_JUMPS) -> asyncssh.SSHClientConnection | None:
    """Log in to the hosts of ProxyJump, one behind the other, each with settings of its own."""
    if not settings.proxy_jump:
        return None
    before, _, last = settings.proxy_jump.rpartition(",")
    found = _HOP.fullmatch(last.strip())
    if not found:
        raise HostRefused(name, f"ProxyJump {last} cannot be read", "write [user@]host[:port]")
    if not jumps:
        raise HostRefused(name, f"ProxyJump leads over more than {MOST_JUMPS} hosts", f"let {last} jump to no other")
    user, address, port = found[1], found[2].strip("[]"), int(found[3]) if found[3] else None
    jump = await resolve(name, address, user, port)
    if before:
        jump = replace(jump, proxy_jump=before, proxy_command="")
    return await _log_in(name, jump, known_keys(jump), jumps - 1)


def connect_error(name: str, address: str, error: Exception, way: str = "") -> HostError:
    """Return the error to raise for one of asyncssh's or of the network; `way` is in front of it."""
    import asyncssh

    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return HostKeyRefused(
            name,
            f"{way}its host key does not match, or none is known ({error.reason})",
            f"compare it with the provider's console, then put it into known_hosts (ssh {address}) "
            "or into host_key of fleet.yaml",
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return HostRefused(
            name, f"{way}login refused ({error.reason})", f"make `ssh {address}` work without a password"
        )
    what = "no answer in time" if isinstance(error, TimeoutError) else plain_words(error)
    return HostUnreachable(name, f"{way}{what}", f"ssh {address}")
