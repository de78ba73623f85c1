"""One place to notify, with its secrets looked up. No repr, text or error contains them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.errors import ReconcileError
from reconciler.model.notify import NamedSecret, Notify, fault_of_address


class CannotNotify(ReconcileError):
    """A place cannot be notified, because of its settings or one of its secrets."""


@dataclass(frozen=True)
class Channel:
    """Where and how to send notices to one place."""

    name: str  # for logs: `notify[0] (slack)`
    settings: Notify
    url: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no message may contain."""
        named = self.url if isinstance(self.settings.url, NamedSecret) else ""
        return tuple(value for value in (named, self.key, self.token) if value)


def identity(settings: Notify) -> str:
    """Return the key under which the notices to a place are remembered. Its position in the list does not matter."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


def name_of(index: int, settings: Notify) -> str:
    return f"notify[{index}] ({settings.kind})"


def open_channel(index: int, settings: Notify, secret: Callable[[str], str], *, loopback_http: bool = False) -> Channel:
    """Look up the secrets of a place. Raises CannotNotify, or the error of `secret`; neither contains a value."""
    name = name_of(index, settings)

    def look_up(named: NamedSecret | None) -> str:
        if named is None:
            return ""
        value = secret(named.secret).strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise CannotNotify(
                f"{name}: the secret {named.secret} is empty or contains invalid characters",
                "set it to the value alone, on one line",
            )
        return value

    url = look_up(settings.url) if isinstance(settings.url, NamedSecret) else settings.url or ""
    address = settings.api if settings.kind == "github" else url
    if fault := fault_of_address(address, loopback_http=loopback_http):
        raise CannotNotify(f"{name}: the address {fault}", "correct the url or its secret")
    return Channel(name, settings, url, look_up(settings.key), look_up(settings.token))
