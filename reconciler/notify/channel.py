"""One place to tell, with its secrets looked up. They show in no repr, no text and no error."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.errors import ReconcileError
from reconciler.model.notify import NamedSecret, Notify, fault_of_address


class CannotNotify(ReconcileError):
    """A place cannot be told, by what stands in the settings or in a secret."""


@dataclass(frozen=True)
class Channel:
    """Where and how to send."""

    name: str  # for logs: `notify[0] (slack)`
    settings: Notify
    url: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated anywhere."""
        named = self.url if isinstance(self.settings.url, NamedSecret) else ""
        return tuple(value for value in (named, self.key, self.token) if value)


def identity(settings: Notify) -> str:
    """What was told is remembered under this: the same for the same place, whatever its position in the list."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


def name_of(index: int, settings: Notify) -> str:
    return f"notify[{index}] ({settings.kind})"


def open_channel(index: int, settings: Notify, secret: Callable[[str], str], *, loopback_http: bool = False) -> Channel:
    """The channel, secrets looked up now. Raises CannotNotify, or what `secret` has to say; neither repeats a value."""
    name = name_of(index, settings)

    def look_up(named: NamedSecret | None) -> str:
        if named is None:
            return ""
        value = secret(named.secret).strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise CannotNotify(
                f"{name}: the secret {named.secret} is empty or has characters that do not fit here",
                "set it to the value alone, on one line",
            )
        return value

    url = look_up(settings.url) if isinstance(settings.url, NamedSecret) else settings.url or ""
    asked = settings.api if settings.kind == "github" else url
    if fault := fault_of_address(asked, loopback_http=loopback_http):
        raise CannotNotify(f"{name}: the address {fault}", "correct the url or its secret")
    return Channel(name, settings, url, look_up(settings.key), look_up(settings.token))
