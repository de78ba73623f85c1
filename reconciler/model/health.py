"""The values that a health check may send: its Host and its headers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.addresses import LABEL
from reconciler.model.fields import Text, refuse
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
