"""How a host is reached: the settings of OpenSSH's client that count for us, with ~ and %-tokens replaced."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_KINDS = ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")
USUAL_IDENTITIES = tuple(f"~/.ssh/id_{kind}" for kind in _KINDS)
_USUAL_KNOWN_HOSTS = {
    "userknownhostsfile": "~/.ssh/known_hosts ~/.ssh/known_hosts2",
    "globalknownhostsfile": "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
}
_YES = ("yes", "true")


@dataclass(frozen=True)
class Settings:
    """The settings for one host. A value that is empty, or None, is not set."""

    address: str  # as it was asked for: a name in ~/.ssh/config or an address
    hostname: str
    port: int
    user: str | None
    identity_files: tuple[str, ...]
    certificate_files: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None  # its socket; "" for none, None for the one of SSH_AUTH_SOCK
    pkcs11_provider: str = ""
    proxy_jump: str = ""
    proxy_command: str = ""
    host_key_alias: str = ""
    known_hosts: tuple[str, ...] = ()
    host_key_algorithms: str = ""
    kex_algorithms: str = ""
    ciphers: str = ""
    macs: str = ""
    family: str = ""
    bind_address: str = ""
    compression: bool = False


def settings_of(address: str, port: int | None, found: Mapping[str, list[str]]) -> Settings:
    """Return the settings from the names and values that `ssh -G` prints, or from fewer."""

    def value(key: str) -> str:
        text = " ".join(found.get(key, ()))
        return "" if text.lower() == "none" else text

    hostname = value("hostname").replace("%h", address).replace("%%", "%") or address
    port = port or int(value("port") or 22)
    user = value("user") or None

    def expand(text: str) -> str:
        if "%" not in text:
            return text
        tokens = {
            "%": "%", "h": hostname, "n": address, "p": str(port), "r": user or local_user(), "u": local_user(),
            "d": str(Path.home()), "i": str(os.getuid()), "k": value("hostkeyalias") or address,
            "l": os.uname().nodename, "L": os.uname().nodename.partition(".")[0], "j": value("proxyjump"),
        }  # fmt: skip
        return re.sub("%(.)", lambda token: tokens.get(token[1], token[0]), text)

    def path(text: str) -> str:
        text = re.sub(r"\$\{([A-Za-z0-9_]+)\}", lambda name: os.environ.get(name[1], ""), text)
        return str(Path(expand(text)).expanduser())

    known_hosts = [
        path(file)
        for key, usual in _USUAL_KNOWN_HOSTS.items()
        for file in (value(key) if key in found else usual).split()
    ]
    command = value("proxycommand")
    return Settings(
        address, hostname, port, user,
        tuple(path(file) for file in found.get("identityfile", USUAL_IDENTITIES) if file.lower() != "none"),
        tuple(path(file) for file in found.get("certificatefile", ()) if file.lower() != "none"),
        identities_only=value("identitiesonly").lower() in _YES,
        agent=_agent(" ".join(found.get("identityagent", ())), path),
        pkcs11_provider=value("pkcs11provider"), proxy_jump="" if command else value("proxyjump"),
        proxy_command=expand(command), host_key_alias=value("hostkeyalias"), known_hosts=tuple(known_hosts),
        host_key_algorithms=value("hostkeyalgorithms"), kex_algorithms=value("kexalgorithms"), ciphers=value("ciphers"),
        macs=value("macs"), family=value("addressfamily"), bind_address=value("bindaddress"),
        compression=value("compression").lower() in _YES,
    )  # fmt: skip


def local_user() -> str:
    """Return the name of the user who runs this, or ""."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _agent(text: str, path: Callable[[str], str]) -> str | None:
    if text in ("", "SSH_AUTH_SOCK"):
        return None
    if text.lower() == "none":
        return ""
    return os.environ.get(text[1:], "") if re.fullmatch(r"\$\w+", text) else path(text)
