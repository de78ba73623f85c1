"""The private keys to log in with, in OpenSSH's order. A key that cannot be used hides no other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from reconciler.host.ssh_settings import USUAL_IDENTITIES, Settings
from reconciler.logs import log_detail

if TYPE_CHECKING:
    import asyncssh

AGENT_SECONDS = 5
SAME_SECONDS = 1.0

_Files = tuple[tuple[str, ...], tuple[str, ...]]
_Read = tuple[float, _Files | None, list["asyncssh.SSHKeyPair"], list[bytes]]
_read: WeakKeyDictionary[asyncio.AbstractEventLoop, _Read] = WeakKeyDictionary()


class _Keys(list["asyncssh.SSHKeyPair"]):
    """asyncssh takes an empty list for "the usual ones", hence always true."""

    def __bool__(self) -> bool:
        return True


@asynccontextmanager
async def login_keys(name: str, settings: Settings) -> AsyncIterator[list[asyncssh.SSHKeyPair]]:
    """Yield the keys: those of the agent that the configuration names, the agent's others, and those in files.

    sshd counts each key that is offered, and ends the login after six. The agent is connected during the block.
    """
    in_files, named = _identities(name, settings)
    agent = await _connect_agent(name, settings)
    try:
        in_agent = await _agent_keys(name, agent) if agent else []
        places = {data: number for number, data in enumerate(named)}
        offered = [key for key in in_agent if key.public_data in places or not settings.identities_only]
        offered.sort(key=lambda key: places.get(key.public_data, len(places)))
        in_agent_too = {key.public_data for key in offered}
        yield _Keys([*offered, *(key for key in in_files if key.public_data not in in_agent_too)])
    finally:
        if agent:
            agent.close()


def _identities(name: str, settings: Settings) -> tuple[list[asyncssh.SSHKeyPair], list[bytes]]:
    """Read the files, or share what another host with the same files has read less than SAME_SECONDS ago."""
    loop, files = asyncio.get_running_loop(), (settings.identity_files, settings.certificate_files)
    at, same, keys, named = _read.get(loop, (-SAME_SECONDS, None, [], []))
    if same != files or loop.time() - at >= SAME_SECONDS:
        keys, named = _read_identities(name, settings)
        _read[loop] = loop.time(), files, keys, named
    return [copy(key) for key in keys], list(named)  # a login notes in its keys how it signs


def _read_identities(name: str, settings: Settings) -> tuple[list[asyncssh.SSHKeyPair], list[bytes]]:
    """Return the private keys that can be used without a passphrase, and the public keys of all, in order."""
    import asyncssh

    certificates = list[asyncssh.SSHCertificate]()
    for file in settings.certificate_files:
        try:
            certificates += asyncssh.load_certificates(file)
        except (OSError, ValueError) as error:
            _note_unused(name, file, error)
    keys, named = list[asyncssh.SSHKeyPair](), [certificate.public_data for certificate in certificates]
    for file in settings.identity_files:
        try:
            pairs = asyncssh.load_keypairs([file], None, certificates)
            keys += pairs
            named += [pair.public_data for pair in pairs]
        except (OSError, ValueError) as error:
            public = _public_key(file)
            named += public
            if not public:
                _note_unused(name, file, error)
    return keys, named


def _public_key(file: str) -> list[bytes]:
    """Return the public key of a private one that is in the agent, or encrypted: the file itself, or one beside it."""
    import asyncssh

    for path in (file, f"{file}.pub"):
        try:
            return [asyncssh.read_public_key(path).public_data]
        except (OSError, ValueError):
            continue
    return []


async def _connect_agent(name: str, settings: Settings) -> asyncssh.SSHAgentClient | None:
    import asyncssh

    path = os.environ.get("SSH_AUTH_SOCK", "") if settings.agent is None else settings.agent
    if not path:
        return None
    try:
        async with asyncio.timeout(AGENT_SECONDS):
            return await asyncssh.connect_agent(path)
    except (asyncssh.Error, OSError) as error:
        _note_unused(name, path, error)
        return None


async def _agent_keys(name: str, agent: asyncssh.SSHAgentClient) -> list[asyncssh.SSHKeyPair]:
    import asyncssh

    try:
        async with asyncio.timeout(AGENT_SECONDS):
            return list(await agent.get_keys())
    except (asyncssh.Error, OSError, ValueError) as error:
        _note_unused(name, "the agent", error)
        return []


@cache
def _usual_files(home: Path) -> frozenset[str]:
    return frozenset(str(home / usual.removeprefix("~/")) for usual in USUAL_IDENTITIES)


def _note_unused(name: str, file: str, error: Exception) -> None:
    if not (isinstance(error, FileNotFoundError) and file in _usual_files(Path.home())):
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or "it did not answer in time"
        log_detail("identity.passed_over", host=name, file=file, reason=reason)
