"""`traefik.etcd` in fleet.yaml: where the Traefiks of several edges read the same routes."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from reconciler.model import values
from reconciler.model.addresses import LABEL
from reconciler.model.env import EnvValue
from reconciler.model.fields import AtLeastOne, EachOnce, Text, refuse
from reconciler.model.machine import Strict
from reconciler.model.secret import SecretRef

PORT = 2379  # etcd's own, for clients


def _check_port(endpoint: str) -> str:
    try:
        port = urlsplit(endpoint).port
    except ValueError:
        port = 0
    if port == 0:
        raise refuse(f"{endpoint} has a port outside 1 to 65535", f"{PORT} is the usual one")
    return endpoint


Endpoint = Annotated[
    str,
    Text(
        rf"https?://(\[[0-9A-Fa-f:.]+\]|{LABEL}(\.{LABEL})*)(:[0-9]{{1,5}})?",
        "is not the address of a member of etcd",
        "write it like https://10.0.0.5:2379, as the edges reach it",
        longest=300,
    ),
    AfterValidator(_check_port),
]


class EtcdTls(Strict):
    """What proves etcd to us, and us to etcd. Each is PEM text."""

    ca: EnvValue | None = Field(
        default=None,
        description="The authority of the members' certificates: PEM text, or {secret: name}. Default: public ones.",
    )
    certificate: SecretRef | None = Field(
        default=None, description="Our own certificate, if etcd asks for one (--client-cert-auth)."
    )
    key: SecretRef | None = Field(default=None, description="The key of that certificate.")

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            missing, given = ("key", "certificate") if self.key is None else ("certificate", "key")
            raise refuse(f"needs {missing} beside it", f"add {missing}: {{secret: …}}", at=(given,))
        return self


class Etcd(Strict):
    """The etcd in which the routes of the edges lie. Its members are asked from an edge."""

    endpoints: Annotated[tuple[Endpoint, ...], AtLeastOne, EachOnce] = Field(
        description="Its members as the edges reach them: [https://10.0.0.5:2379, …]."
    )
    tls: EtcdTls | None = Field(default=None, description="Certificates, with https endpoints.")
    username: values.Name | None = Field(default=None, description="The user, if etcd has users.")
    password: SecretRef | None = Field(default=None, description="The user's password.")

    @property
    def has_tls(self) -> bool:
        return self.endpoints[0].startswith("https://")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if len({endpoint.partition(":")[0] for endpoint in self.endpoints}) > 1:
            raise refuse("mixes http and https", "Traefik asks all members in one way: choose one", at=("endpoints",))
        if self.tls and not self.has_tls:
            raise refuse("is for https endpoints", "write the endpoints with https://, or delete it", at=("tls",))
        if (self.username is None) != (self.password is None):
            missing, given = ("password", "username") if self.password is None else ("username", "password")
            raise refuse(f"needs {missing} beside it", f"add {missing}", at=(given,))
        return self
