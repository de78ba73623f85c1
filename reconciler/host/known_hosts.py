"""The keys of a host that known_hosts files vouch for or revoke. A line that nobody can read hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.host.ssh_settings import Settings
from reconciler.logs import log_detail

if TYPE_CHECKING:
    import asyncssh


@dataclass(frozen=True)
class KnownKeys:
    """The keys of one host: its own, those of certificate authorities that may sign them, and revoked ones."""

    own: tuple[asyncssh.SSHKey, ...] = ()
    authorities: tuple[asyncssh.SSHKey, ...] = ()
    revoked: tuple[asyncssh.SSHKey, ...] = ()

    @property
    def lists(self) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        """The keys as asyncssh takes them."""
        return list(self.own), list(self.authorities), list(self.revoked)


def known_keys(settings: Settings) -> KnownKeys:
    """Read every known_hosts file of the settings: a user may have several, and the system its own."""

    host = (settings.host_key_alias or settings.hostname).lower()
    names = [host] if settings.host_key_alias or settings.port == 22 else [f"[{host}]:{settings.port}", host]
    entries = [known for file in settings.known_hosts for known in _entries(Path(file))]
    matches = [[known.match(name, "", None) for known in entries] for name in names]
    revoked = [key for match in matches for found in match for key in found[2]]
    for match in matches:  # a key without a port counts for any, but only if none is known with it
        own = [key for found in match for key in found[0]]
        authorities = [key for found in match for key in found[1]]
        if own or authorities:
            return KnownKeys(*(tuple(dict.fromkeys(keys)) for keys in (own, authorities, revoked)))
    return KnownKeys(revoked=tuple(dict.fromkeys(revoked)))


def _entries(file: Path) -> tuple[asyncssh.SSHKnownHosts, ...]:
    """Read the file, but only if it has changed: a fleet of thousands has a file of thousands of lines."""
    try:
        found = file.stat()
        return _entries_of(file, (found.st_ino, found.st_size, found.st_mtime_ns))
    except OSError:  # missing, or not for us
        return ()


@lru_cache(maxsize=16)
def _entries_of(file: Path, version: tuple[int, ...]) -> tuple[asyncssh.SSHKnownHosts, ...]:
    return tuple(_parse(file, file.read_text(encoding="utf-8", errors="replace")))


def _parse(file: Path, text: str) -> Iterator[asyncssh.SSHKnownHosts]:
    import asyncssh

    try:
        yield asyncssh.import_known_hosts(text)
    except ValueError:
        for number, line in enumerate(text.splitlines(), 1):
            try:
                yield asyncssh.import_known_hosts(line)
            except ValueError as error:
                log_detail("known_hosts.line_passed_over", file=str(file), line=number, reason=str(error))
