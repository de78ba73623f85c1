"""`notify:` in fleet.yaml: the places to notify when an app fails, recovers or reaches a new version.

Everything that grants access (most addresses, every key and token) is written as the name of a secret: git has none.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from reconciler.model import values
from reconciler.model.fields import AtLeastOne, EachOnce, Text, refuse
from reconciler.model.machine import Strict

Kind = Literal["webhook", "slack", "ntfy", "github", "grafana"]
Event = Literal["failed", "recovered", "converged"]

# Per kind: the required keys and the optional ones.
KEYS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "webhook": (("url", "key"), ("events",)),
    "slack": (("url",), ("events",)),
    "ntfy": (("url",), ("events", "token")),
    "github": (("repository", "token"), ("deployments", "api")),
    "grafana": (("url", "token"), ()),
}


class NamedSecret(Strict):
    """A value that is looked up when it is needed. In git it is stored encrypted or not at all."""

    secret: values.SecretName = Field(description="Name of the secret, such as notify/slack.")


def fault_of_address(address: str, *, loopback_http: bool = False) -> str:
    """The reason why notices cannot be sent to this address; "" if they can. It never repeats a part of the address."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not a valid address"
    if not host or not address.isascii() or any(not letter.isprintable() or letter.isspace() for letter in address):
        return "is not a valid address"
    if parts.scheme != "https" and not (loopback_http and parts.scheme == "http" and _is_loopback(host)):
        return "is not an https:// address"
    if "@" in parts.netloc:
        return "contains a login"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_address(address: str) -> str:
    if fault := fault_of_address(address):
        raise refuse(fault, "write an https:// address, or {secret: name} and keep the address out of git")
    if "?" in address or "#" in address:
        raise refuse("has a part after ? or #, which is often a key", "write {secret: name}, and set that secret")
    return address


def _kind_of_address(value: object) -> str:
    return "NamedSecret" if isinstance(value, (dict, NamedSecret)) else "address"


PlainAddress = Annotated[
    str,
    Text(r"[!-~]+", "is not an address", "write an https:// address or {secret: name}", longest=2048, secret=True),
    AfterValidator(_check_address),
]
Address = Annotated[
    Annotated[PlainAddress, Tag("address")] | Annotated[NamedSecret, Tag("NamedSecret")],
    Discriminator(_kind_of_address),
]
Repository = Annotated[
    str,
    Text(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}",
        "is not a repository on GitHub",
        "write it like owner/name",
    ),
]


class Notify(Strict):
    """One place to notify of changes. A state is sent once, and again every day while the app stays broken."""

    kind: Kind = Field(
        description="Kind of place: webhook (signed JSON), slack, ntfy, github (commit status), or grafana (an "
        "annotation for each rollout)."
    )
    events: Annotated[tuple[Event, ...], EachOnce, AtLeastOne] = Field(
        default=("failed", "recovered"),
        description="Events to send: failed, recovered, converged (a new version runs, or drift was corrected).",
    )
    url: Address | None = Field(
        default=None,
        description="https:// address; for slack, and for ntfy without a token, {secret: name}. For grafana, that of "
        "Grafana itself, such as https://grafana.example.com.",
    )
    key: NamedSecret | None = Field(
        default=None, description="webhook: the secret that signs the body (X-Reconcile-Signature, HMAC-SHA256)."
    )
    token: NamedSecret | None = Field(
        default=None,
        description="github, ntfy, grafana: the secret that holds the access token (for grafana, of a service account "
        "that may write annotations).",
    )
    repository: Repository | None = Field(
        default=None, description="github: owner/name of the repository that holds the desired state."
    )
    deployments: values.Flag = Field(
        default=False,
        description="github: also record a deployment for each rollout, in an environment of the app's name.",
    )
    api: PlainAddress = Field(default="https://api.github.com", description="github: the API, for GitHub Enterprise.")

    @field_validator("url", "key", "token", "repository", mode="before")
    @classmethod
    def _refuse_none(cls, written: object) -> object:
        if written is None:
            raise refuse("has no value", "write one, or delete the line")
        return written

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        needed, optional = KEYS[self.kind]
        for key in sorted(self.model_fields_set - {"kind", *needed, *optional}):
            raise refuse(f"is not for {self.kind}", f"{self.kind} takes {', '.join((*needed, *optional))}", at=(key,))
        for key in needed:
            if getattr(self, key) is None:
                raise refuse(f"{self.kind} needs {key}", type(self).model_fields[key].description or "", at=())
        # Anyone who knows such an address can post to it, so treat it as a password.
        if isinstance(self.url, str) and (self.kind == "slack" or (self.kind == "ntfy" and self.token is None)):
            raise refuse("is as secret as a password here", "write {secret: name}, and set that secret", at=("url",))
        return self
