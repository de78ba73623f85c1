"""The repository addresses, branches and folders that are accepted. Pure: nothing is contacted.

git accepts far more than addresses here: programs (`ext::`), options, logins. Everything that is not known to be
harmless is refused.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from reconciler.errors import UsageError

_LONGEST: Final = 1000
_USE: Final = "use https://host/path, ssh://git@host/path, git@host:path, or a folder on this machine"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]+\]"
_USER: Final = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}"
_PATH: Final = r"[\w.~/+@%,=:-]+"
_URL: Final = re.compile(rf"(?:(?P<user>{_USER})@)?(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/{_PATH})")
_SCP: Final = re.compile(rf"(?:(?P<user>{_USER})@)?(?P<host>{_HOST}):(?P<path>(?!-){_PATH})")
_BRANCH_PART: Final = re.compile(r"(?!\.)[^\x00-\x20\x7f~^:?*\[\\]+(?<!\.lock)")


@dataclass(frozen=True)
class Address:
    """A repository: the address given to git, which contains no secret, and the protocols that git may use for it."""

    url: str
    protocols: str


def read_address(text: str) -> Address:
    """Read an address or a local path. Raises UsageError, whose message never repeats a login."""
    if not text or len(text) > _LONGEST or not text.isprintable() or text.startswith("-"):
        raise UsageError("--repo is not the address of a repository", _USE)
    if re.match(r"[\w+.-]*::", text):
        raise UsageError(f"{text.partition('::')[0]}:: would run a program; it is not an address", _USE)
    if scheme := _SCHEME.match(text):
        return _read_url(scheme[1].lower(), text[scheme.end() :])
    if ":" in text.partition("/")[0]:
        return _read_scp(text)
    return _local(Path.cwd() / text)


def read_branch(text: str | None) -> str | None:
    """The branch's name without `refs/heads/`; None means the remote's HEAD. Raises UsageError."""
    if text is None:
        return None
    name = text.removeprefix("refs/heads/")
    parts = name.split("/")
    good = all(_BRANCH_PART.fullmatch(part) for part in parts) and len(name) <= 250 and name.isprintable()
    if not good or name in ("@", "HEAD") or name.startswith("-") or name.endswith(".") or ".." in name or "@{" in name:
        raise UsageError(f"{text[:80]!r} is not the name of a branch", "name one, such as main")
    return name


def read_folder(text: str) -> PurePosixPath:
    """The desired-state folder as a path inside the repository. Raises UsageError."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not text.isprintable() or len(text) > _LONGEST:
        raise UsageError(f"{text[:80]!r} is not a folder inside the repository", "name one, such as desired-state")
    return path


def _read_url(scheme: str, rest: str) -> Address:
    if scheme == "file":
        return _read_file_url(rest)
    if scheme not in ("https", "http", "ssh"):
        raise UsageError(f"{scheme}:// is not supported", _USE)
    login, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (scheme != "ssh" or ":" in login):
        raise _login_error()
    parts = _URL.fullmatch(rest)
    if not parts or ".." in parts["host"] or not _is_port(parts["port"]) or parts["path"].startswith("/-"):
        raise UsageError(f"the {scheme}:// address is not valid", _USE)
    if scheme == "http" and not _is_loopback(parts["host"]):
        raise UsageError("http:// can be tampered with in transit", "use https://")
    return Address(f"{scheme}://{rest}", "http" if scheme == "http" else "https:ssh")


def _read_scp(text: str) -> Address:
    if "@" in text.partition(":")[2].partition("/")[0]:
        raise _login_error()
    parts = _SCP.fullmatch(text)
    if not parts or ".." in parts["host"]:
        raise UsageError("--repo is not the address of a repository", _USE)
    return Address(text, "https:ssh")


def _read_file_url(rest: str) -> Address:
    path = rest.removeprefix("localhost")
    if not path.startswith("/") or path.startswith("//") or set(path) & set("%?#") or ".." in path.split("/"):
        raise UsageError("file:// needs a plain absolute path", "write file:///srv/repository.git, or the path alone")
    return _local(Path(path))


def _local(path: Path) -> Address:
    if path.is_file():  # git would read it as a bundle
        raise UsageError(f"{path} is a file, not a repository", "name the repository's folder")
    return Address(os.path.normpath(path), "file")


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65536


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _login_error() -> UsageError:
    next_step = "remove it; use a git credential helper (git help credentials), or ssh with a deploy key"
    return UsageError("--repo contains a login, which every process list and log would show", next_step)
