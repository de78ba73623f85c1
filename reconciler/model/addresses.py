"""Values for reaching something: domains, hosts, addresses, networks, host keys."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.fields import Text, quoted_excerpt, refuse

LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
Domain = Annotated[
    str,
    Text(
        rf"{LABEL}(\.{LABEL})*",
        "is not a domain",
        "write it like example.com: no scheme, port, path or *; an international name in its xn-- form",
        longest=253,
    ),
    AfterValidator(str.lower),
]
DomainOrWildcard = Annotated[
    str,
    Text(
        rf"(\*\.{LABEL}\.)?{LABEL}(\.{LABEL})*",
        "is not a domain",
        "write it like example.com or *.example.com: no scheme, port or path; an international name in its xn-- form",
        longest=253,
    ),
    AfterValidator(str.lower),
]
_TARGET = (
    r"(?:([A-Za-z_][A-Za-z0-9_.-]*)@)?"
    r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_][A-Za-z0-9_.-]*))"
    r"(?::([0-9]{1,5}))?"
)


def split_target(target: str) -> tuple[str | None, str, int | None]:
    """Split `user@address:port` into user, address and port; None for a part that is missing.

    An IPv6 address is in [ ]. Raises ValueError.
    """
    found = re.fullmatch(_TARGET, target)
    if found is None:
        raise ValueError(f"{quoted_excerpt(target)} is not a host")
    user, ipv6, address, port = found.groups()
    return user, ipv6 or address, int(port) if port else None


def _check_target(target: str) -> str:
    _, address, port = split_target(target)
    _check_address(address)
    if port is not None and not 1 <= port <= 65535:
        raise refuse(f"{quoted_excerpt(target)} has a port outside 1 to 65535", "22 is the usual one")
    if address == "local" and target != "local":
        raise refuse(
            "local is this machine and takes no user or port",
            "write local, or localhost to log in over SSH",
        )
    return target


def _check_address(address: str) -> str:
    if ":" in address:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            raise refuse(f"{quoted_excerpt(address)} is not an IPv6 address", "leave the port out") from None
    return address


HostTarget = Annotated[
    str,
    Text(
        _TARGET,
        "is not a host",
        "write a name from fleet.yaml or ~/.ssh/config, user@address:port, or local; an IPv6 address in [ ]",
    ),
    AfterValidator(_check_target),
]
GROUP = "group:"  # begins a group where hosts are named
GroupName = Annotated[
    str,
    Text(r"[a-z][a-z0-9_-]*", "cannot name a group", "use a-z, 0-9, _ and -, a letter first", longest=63),
]


def _check_choice(choice: str) -> str:
    name = choice.removeprefix("!")
    return choice if name.startswith(GROUP) else _check_target(name) and choice


HostChoice = Annotated[
    str,
    Text(
        rf"!?({GROUP}[a-z][a-z0-9_-]*|{_TARGET})",
        "is not a host or group",
        "write a name from fleet.yaml or ~/.ssh/config, user@address:port, local, group:NAME, or one with ! to leave "
        "it out; an IPv6 address in [ ]",
    ),
    AfterValidator(_check_choice),
]
HostOrGroup = Annotated[
    str,
    Text(
        rf"{GROUP}[a-z][a-z0-9_-]*|{_TARGET}",
        "is not a host or group",
        "write a name from hosts of the app, or group:NAME",
    ),
]
Address = Annotated[
    str,
    Text(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
        "is not an address",
        "write a host name, an IPv4 or an IPv6 address; user and port are keys of their own",
    ),
    AfterValidator(_check_address),
]


Email = Annotated[
    str,
    Text(
        r'[^@\s\x00-\x1f\x7f"]+@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z0-9-]+',
        "is not an e-mail address",
        "write it like ops@example.com",
    ),
]
HttpsAddress = Annotated[
    str, Text(r"https://[!-~]+", "is not an https:// address", "write it like https://ca.example.com/directory")
]


def _check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refuse(
            f"{quoted_excerpt(text)} is not an address or network", "write it like 192.0.2.10 or 10.0.0.0/8"
        ) from None
    return text


Network = Annotated[
    str,
    Text(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", "is not an address or network", "write it like 192.0.2.10 or 10.0.0.0/8"),
    AfterValidator(_check_network),
]


def _check_private_address(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise refuse(f"{quoted_excerpt(text)} is not an IPv4 address", "write it like 10.0.0.5") from None
    if address.is_global or address.is_loopback or address.is_unspecified or address.is_multicast:
        raise refuse(
            f"{text} is not a private address",
            "connections to it are not encrypted: use an address in a private network or a VPN, such as 10.0.0.5",
        )
    return text


PrivateAddress = Annotated[
    str, Text(r"[0-9.]+", "is not an IPv4 address", "write it like 10.0.0.5"), AfterValidator(_check_private_address)
]


def _check_host_key(line: str) -> str:
    kind, encoded = line.split()[:2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        blob = b""
    # The blob starts with the length of its kind's name, then the name.
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind.encode():
        raise refuse("is damaged", "copy the whole line that `ssh-keyscan HOST` prints, without the host in front")
    return line


HostKey = Annotated[
    str,
    Text(
        r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+)"
        r" [A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?",
        "is not an OpenSSH public key",
        "write it like `ssh-ed25519 AAAA...`, one line of /etc/ssh/ssh_host_ed25519_key.pub on the host",
        longest=4096,
    ),
    AfterValidator(_check_host_key),
]
