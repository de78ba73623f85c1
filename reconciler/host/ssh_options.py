"""Turns the settings of OpenSSH into the arguments of asyncssh. What asyncssh does not know is left out."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from reconciler.host.known_hosts import KnownKeys
from reconciler.host.ssh_settings import Settings

_CERTIFICATE = "-cert-v01@openssh.com"
# A host has keys of several kinds and presents the first kind that the client asks for. This is OpenSSH's order.
_HOST_KEYS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
_HOST_CERTIFICATES: Final = tuple(name.removesuffix("@openssh.com") + _CERTIFICATE for name in _HOST_KEYS)
# A pass sends many small packets. asyncssh needs a seventh of the time for one in AES-GCM of what it needs in ChaCha20.
_CIPHERS_FIRST: Final = (b"aes256-gcm@openssh.com", b"aes128-gcm@openssh.com")
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments that say how a host is reached, but for its host key and the tunnel."""
    from asyncssh.encryption import get_encryption_algs
    from asyncssh.kex import get_kex_algs
    from asyncssh.mac import get_mac_algs

    options: dict[str, Any] = {"host": settings.hostname, "port": settings.port, "config": None, "gss_host": None}
    options["encryption_algs"] = _usual_ciphers()
    algorithms = {
        "kex_algs": (settings.kex_algorithms, get_kex_algs()),
        "encryption_algs": (settings.ciphers, get_encryption_algs()),
        "mac_algs": (settings.macs, get_mac_algs()),
    }
    for name, (wanted, possible) in algorithms.items():
        sign = wanted[:1] if wanted[:1] in ("+", "-", "^") else ""
        if matching := _matching(wanted[len(sign) :].split(","), (name.decode() for name in possible)):
            options[name] = sign + ",".join(matching)
    if settings.user:
        options["username"] = settings.user
    if settings.host_key_alias:
        options["host_key_alias"] = settings.host_key_alias
    if settings.proxy_command:
        options["proxy_command"] = ["/bin/sh", "-c", f"exec {settings.proxy_command}"]
    if settings.family in _FAMILIES:
        options["family"] = _FAMILIES[settings.family]
    if settings.bind_address:
        options["local_addr"] = (settings.bind_address, 0)
    if settings.pkcs11_provider:
        options["pkcs11_provider"] = settings.pkcs11_provider
    if settings.compression:
        from reconciler.host.compression import compression_algorithms

        options["compression_algs"] = compression_algorithms()
    return options


def _usual_ciphers() -> list[str]:
    from asyncssh.encryption import get_default_encryption_algs

    return [name.decode() for name in dict.fromkeys((*_CIPHERS_FIRST, *get_default_encryption_algs()))]


def host_key_algorithms(settings: Settings, known: KnownKeys) -> list[str]:
    """Return what to ask a host for, in order: certificates of known authorities, kinds of known keys, all others."""
    from asyncssh.public_key import get_certificate_algs, get_public_key_algs

    names = _wanted(settings.host_key_algorithms)
    kinds = [algorithm.decode() for key in known.own for algorithm in key.sig_algorithms]
    certificates = [name for name in names if name.endswith(_CERTIFICATE)] if known.authorities else []
    others = [name for name in names if not name.endswith(_CERTIFICATE)]
    ordered = [*certificates, *(name for name in others if name in kinds), *kinds, *others]
    possible = {name.decode() for name in (*get_certificate_algs(), *get_public_key_algs())}
    return list(dict.fromkeys(name for name in ordered if name in possible))


def _wanted(text: str) -> list[str]:
    """Return what HostKeyAlgorithms says, or else OpenSSH's order."""
    usual = [*_HOST_CERTIFICATES, *_HOST_KEYS]
    if text[:1] not in ("+", "-", "^"):
        return text.split(",") if text else usual
    named = _matching(text[1:].split(","), [*usual, "ssh-rsa", f"ssh-rsa{_CERTIFICATE}"])
    return {"+": [*usual, *named], "^": [*named, *usual], "-": [name for name in usual if name not in named]}[text[0]]


def _matching(patterns: list[str], possible: Iterable[str]) -> list[str]:
    """Return the possible names that match, in the order of the patterns. Most patterns are names."""
    names = dict.fromkeys(possible)
    matching = dict[str, None]()
    for pattern in patterns:
        if pattern in names:
            matching[pattern] = None
        elif "*" in pattern or "?" in pattern:
            matching |= dict.fromkeys(name for name in names if fnmatchcase(name, pattern))
    return list(matching)
