"""The values of single keys, by name: the shape of each, why another is refused, and how to write it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.fields import Text, Truth, Whole, refuse, shown
from reconciler.model.reserved import why_app_name_is_taken, why_env_key_is_taken

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# A component has a character besides its leading dots, so that neither `.` nor `..` can occur.
_COMPONENT = r"\.{0,2}[A-Za-z0-9_+@-][A-Za-z0-9_.+@-]*"
LINE = r"[^\x00-\x1f\x7f\x85\u2028\u2029]"

VERSION = Text(
    r"[A-Za-z0-9](\.?[A-Za-z0-9_+~-])*",
    "cannot name a release",
    "start with a letter or digit; then letters, digits and . _ + ~ -, no two dots in a row, none at the end",
    longest=64,
)
Version = Annotated[str, VERSION]
Name = Annotated[
    str,
    Text(r"[A-Za-z0-9][A-Za-z0-9_-]*", "is not a name", "use letters, digits, _ and -", longest=63),
]
HostName = Annotated[
    str,
    Text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "is not a host name", "use letters, digits and . _ -", longest=63),
]
SECRET_NAME = Text(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*",
    "is not the name of a secret",
    "write it like my_app/secret_key_base",
    secret=True,
)
SecretName = Annotated[str, SECRET_NAME]
Domain = Annotated[
    str,
    Text(
        rf"{_LABEL}(\.{_LABEL})*",
        "is not a domain",
        "write it like example.com: no scheme, port, path or *; an international name in its xn-- form",
        longest=253,
    ),
    AfterValidator(str.lower),
]
AbsolutePath = Annotated[
    str,
    Text(
        rf"(/{_COMPONENT})+",
        "is not an absolute path that fits here",
        "write it like /srv/apps: letters, digits and . _ + @ -, no .. and no slash at the end",
    ),
]
HostPath = Annotated[
    str,
    Text(
        rf"~?(/{_COMPONENT})+",
        "is not an absolute path that fits here",
        "write it like /srv/apps, in scope user also ~/apps: letters, digits and . _ + @ -, no .., no slash at the end",
    ),
]
Command = Annotated[
    str,
    Text(
        rf"{LINE}*[^\s\x00-\x1f\x7f]{LINE}*",
        "is not a command",
        "write one line, with no control characters",
        longest=4096,
    ),
]
SHA256 = Text(
    "[0-9a-fA-F]{64}",
    "is not a sha256 digest",
    "write the 64 hex digits that `sha256sum` prints",
    longest=4096,
)
Sha256 = Annotated[str, SHA256, AfterValidator(str.lower)]
Memory = Annotated[
    str,
    Text(
        r"[1-9][0-9]{0,14}[KMGT]?|[1-9][0-9]?%|100%",
        "is not an amount of memory",
        "write it like 512M, 2G or 40%",
    ),
]
CpuShare = Annotated[
    str,
    Text(r"[1-9][0-9]{0,4}%", "is not a share of a CPU core", "write it like 50% of one core, or 200% for two"),
]
Capability = Annotated[
    str,
    Text(r"CAP_[A-Z][A-Z_0-9]*", "is not a capability", "write it like CAP_NET_BIND_SERVICE"),
]
Login = Annotated[
    str, Text(r"[A-Za-z_][A-Za-z0-9_.-]*", "is not a user name", "write it like root or deploy", longest=64)
]
Flag = Annotated[bool, Truth()]
Port = Annotated[
    int,
    Whole(
        1024,
        65535,
        "use one from 1024 to 65535; lower ones need rights an app does not get, visitors use Traefik's",
    ),
]


def _free_app_name(name: str) -> str:
    if why := why_app_name_is_taken(name):
        raise refuse(f"{name} is {why}", "choose another name for the app")
    return name


Batch = Annotated[
    str,
    Text(r"[1-9][0-9]{0,2}|100%|[1-9][0-9]?%", "is not a batch of hosts", "write a number, or a share such as 25%"),
]
AppName = Annotated[
    str,
    Text(
        r"[a-z][a-z0-9_-]{0,30}",
        "cannot name an app",
        "use a-z, 0-9, _ and -, a letter first, at most 31 in all",
    ),
    AfterValidator(_free_app_name),
]


def _own_path(path: str) -> str:
    if "{{" in path or "#" in path:
        raise refuse(f"{shown(path)} is not a path on the app itself", "leave out {{ and #")
    return path


HealthPath = Annotated[
    str,
    Text(
        r"/([!-.0-~][!-~]*)?",
        "is not a path on the app itself",
        "write it like /ping: one slash first, no spaces, other characters as %XX",
        longest=2000,
    ),
    AfterValidator(_own_path),
]


def _free_env_key(key: str) -> str:
    if why := why_env_key_is_taken(key):
        raise refuse("cannot be set here", why)
    return key


def _fits_the_environment(value: str) -> str:
    # Linux refuses to start a program (E2BIG) when KEY=VALUE and its NUL pass 131072 bytes.
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise refuse("holds half of a surrogate pair, which is not text", "write the whole character") from None
    if size > 131_000:
        raise refuse(f"is {size} bytes long (at most 131000)", "put it into a file of the release")
    return value


EnvKey = Annotated[
    str,
    Text(r"[A-Za-z_][A-Za-z0-9_]*", "is not a name for a variable", "use letters, digits and _, no digit first"),
    AfterValidator(_free_env_key),
]
_ENV_TEXT = Text(
    r"[^\x00]*",
    "holds a NUL character, which no environment can carry",
    "take it out",
    longest=131_000,
    secret=True,
)
EnvText = Annotated[str, _ENV_TEXT, AfterValidator(_fits_the_environment)]


def env_text(value: str) -> str:
    """The value if an environment can carry it. Raises PydanticCustomError, which never repeats it."""
    return _fits_the_environment(_ENV_TEXT.read(value))


_TARGET = (
    r"(?:([A-Za-z_][A-Za-z0-9_.-]*)@)?"
    r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_][A-Za-z0-9_.-]*))"
    r"(?::([0-9]{1,5}))?"
)


def split_target(target: str) -> tuple[str | None, str, int | None]:
    """User, address and port of `user@address:port`; what is left out is None. An IPv6 address is in [ ]."""
    found = re.fullmatch(_TARGET, target)
    if found is None:
        raise ValueError(f"{shown(target)} is not a host")
    user, ipv6, address, port = found.groups()
    return user, ipv6 or address, int(port) if port else None


def _sound_target(target: str) -> str:
    _, address, port = split_target(target)
    _sound_address(address)
    if port is not None and not 1 <= port <= 65535:
        raise refuse(f"{shown(target)} has a port outside 1 to 65535", "22 is the usual one")
    if address == "local" and target != "local":
        raise refuse(
            "local is this machine and takes no user or port",
            "write local, or localhost for a login over SSH",
        )
    return target


def _sound_address(address: str) -> str:
    if ":" in address:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            raise refuse(f"{shown(address)} is not an IPv6 address", "a port is not part of it") from None
    return address


HostTarget = Annotated[
    str,
    Text(
        _TARGET,
        "is not a host",
        "write a name from fleet.yaml or ~/.ssh/config, user@address:port, or local; an IPv6 address in [ ]",
    ),
    AfterValidator(_sound_target),
]
Address = Annotated[
    str,
    Text(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
        "is not an address",
        "write a host name, an IPv4 or an IPv6 address; user and port are keys of their own",
    ),
    AfterValidator(_sound_address),
]


Email = Annotated[
    str,
    Text(
        r"[^@\s\x00-\x1f\x7f\"]+@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z0-9-]+",
        "is not an e-mail address",
        "write it like ops@example.com",
    ),
]
HttpsAddress = Annotated[
    str, Text(r"https://[!-~]+", "is not an https:// address", "write it like https://ca.example.com/directory")
]


def _sound_network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refuse(f"{shown(text)} is not an address or network", "write it like 192.0.2.10 or 10.0.0.0/8") from None
    return text


Network = Annotated[
    str,
    Text(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", "is not an address or network", "write it like 192.0.2.10 or 10.0.0.0/8"),
    AfterValidator(_sound_network),
]


def _private(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise refuse(f"{shown(text)} is not an IPv4 address", "write it like 10.0.0.5") from None
    if address.is_global or address.is_loopback or address.is_unspecified or address.is_multicast:
        raise refuse(
            f"{text} is not a private address",
            "what listens there is not encrypted: use one of a private network or of a VPN, such as 10.0.0.5",
        )
    return text


PrivateAddress = Annotated[
    str, Text(r"[0-9.]+", "is not an IPv4 address", "write it like 10.0.0.5"), AfterValidator(_private)
]


def _sound_host_key(line: str) -> str:
    kind, encoded = line.split()[:2]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        blob = b""
    # The blob opens with the length of its own kind's name, then the name.
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
    AfterValidator(_sound_host_key),
]
