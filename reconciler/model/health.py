"""The health check of an app, and the values that it may send: its Host and its headers."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from reconciler.model import values
from reconciler.model.addresses import LABEL
from reconciler.model.fields import MayBeEmpty, Text, Whole, refuse
from reconciler.model.machine import Strict
from reconciler.model.route import OF_THE_CONNECTION, check_header_names

MOST_HEADERS = 20


def _check_name(name: str) -> str:
    if name.lower() == "host":
        raise refuse("has a key of its own", "write health: {host: example.com}")
    if OF_THE_CONNECTION.fullmatch(name.lower()):
        raise refuse("belongs to the connection, not to the request", "delete it")
    return name


def _check_number(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > MOST_HEADERS:
        raise refuse(f"has {len(headers)} headers (at most {MOST_HEADERS})", "keep those that the check needs")
    return headers


HealthHost = Annotated[
    str,
    Text(
        rf"{LABEL}(\.{LABEL})*(:[0-9]{{1,5}})?",
        "cannot be the Host of a request",
        "write it like example.com or localhost:4000",
        longest=259,
    ),
    AfterValidator(str.lower),
]
HealthHeaders = Annotated[
    dict[
        Annotated[
            str,
            Text(r"[A-Za-z0-9!#$%&'*+.^_|~-]+", "is not the name of a header", "write it like X-Forwarded-Proto", 100),
            AfterValidator(_check_name),
        ],
        Annotated[
            str,
            Text(
                r"([!-~]([ -~]*[!-~])?)?",
                "cannot be the value of a header",
                'write one line of ASCII, with no space at either end; "" leaves the header out',
                longest=1000,
            ),
        ],
    ],
    AfterValidator(check_header_names),
    AfterValidator(_check_number),
]


class HealthCheck(Strict):
    """The check that an instance must pass. It is asked on its own port, before any visitor is routed to it."""

    path: values.HealthPath = Field(
        default="/", description="Path that answers 2xx when the app can serve. Redirects are not followed."
    )
    tcp: bool = Field(
        default=False,
        description="True: an open port is enough and nothing is asked, for a program that does not speak HTTP. It is "
        "the default where the route is tcp or h2c, and no path is written.",
    )
    healthy_within_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=60, description="Time from the start of an instance until it must be healthy."
    )
    minimum_healthy_seconds: Annotated[int, Whole(0, 600)] = Field(
        default=2, description="How long it must stay healthy without interruption before it gets traffic."
    )

    host: HealthHost | None = Field(
        default=None, description="Host header of the check. Default: the first domain of the route, as visitors send."
    )
    headers: Annotated[HealthHeaders, MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="Headers of the check, besides those that Traefik sends to the app (X-Forwarded-Proto and others); "
        '"" leaves one out.',
    )

    @model_validator(mode="after")
    def _check_tcp(self) -> Self:
        if self.tcp and (asked := {"path", "host", "headers"} & self.model_fields_set):
            raise refuse("asks for nothing but an open port", f"leave out {' and '.join(sorted(asked))}", at=("tcp",))
        return self

    @model_validator(mode="after")
    def _check_seconds(self) -> Self:
        if self.minimum_healthy_seconds > self.healthy_within_seconds:
            raise refuse(
                f"{self.minimum_healthy_seconds} is more than healthy_within_seconds",
                f"lower it, or raise healthy_within_seconds ({self.healthy_within_seconds})",
                at=("minimum_healthy_seconds",),
            )
        return self
