"""Who may see the page: under which names it is served, and with which token."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.daemon.http_server import Headers, read_listen
from reconciler.errors import UsageError

SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True)
class Access:
    """Who may see the page: with this token if there is one, under these names besides IP addresses and localhost."""

    token: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()
    closed: str | None = None  # why nobody may

    def expects(self, headers: Headers) -> bool:
        """True if the request came under a name that is expected.

        A page of a stranger can point its own name at our address, and would then be of our origin to a browser. It
        cannot do so with an IP address.
        """
        (host, *more) = headers.get("host", ("",))
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?", host)
        if more or not found:
            return False
        name = found[1].lower().strip("[]").removesuffix(".")
        with suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return name == "localhost" or name in self.names

    def admits(self, headers: Headers) -> bool:
        """True if no token is needed, or if the request has it: as a Bearer token, or as the password of Basic."""
        if self.token is None:
            return True
        (given, *more) = headers.get("authorization", ("",))
        kind, _, value = given.partition(" ")
        if kind.lower() == "basic":
            with suppress(binascii.Error, ValueError):
                value = base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        elif kind.lower() != "bearer":
            value = ""
        return not more and hmac.compare_digest(value.encode("utf-8", "replace"), self.token.encode())


def access_for(listen: str, token_file: Path | None, names: tuple[str, ...] | None) -> Access:
    """Return who may see the page on this address. Raises UsageError for a token that cannot be used.

    An address that other machines can reach needs a token. Without one the page stays closed there, and nothing else.
    """
    known = frozenset(name.lower().removesuffix(".") for name in names or ())
    token = None if token_file is None else _read_token(token_file)
    if token is None and not is_loopback(read_listen(listen)[0]):
        return Access(closed="other machines can reach this address: the page needs --listen-token-file FILE here")
    return Access(token, known)


def is_loopback(address: str) -> bool:
    """True if only this machine can reach a server on this address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the token of the page cannot be read from {path}: {error}", "name a readable file"
        ) from error
    if len(token) < SHORTEST_TOKEN:
        next_step = f"use at least {SHORTEST_TOKEN} characters, for example from openssl rand -hex 32"
        raise UsageError(f"the token in {path} is too short", next_step)
    return token
