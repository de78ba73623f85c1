"""etcd's JSON gateway, as every etcd since 3.4 has it at /v3/: questions, and how to read their answers. Pure.

Keys and values travel as base64, numbers as strings. The gateway rather than a library: the well-kept ones speak gRPC,
whose C core cannot use a connection that SSH carries, and three questions are all that is asked here.
https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.words import printable

RANGE, TXN, LOGIN = "/v3/kv/range", "/v3/kv/txn", "/v3/auth/authenticate"
MOST_OPERATIONS: Final = 128  # of one transaction: etcd's own limit unless --max-txn-ops says otherwise
_LONGEST_REASON: Final = 200


@dataclass(frozen=True)
class EtcdAccess:
    """How to ask an etcd: its members as the edges reach them, and what proves who asks. Texts of files are PEM."""

    endpoints: tuple[str, ...]  # https://10.0.0.5:2379
    ca: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class NotEtcds(ValueError):
    """The answer does not have the shape of etcd's."""


@dataclass(frozen=True)
class Kept:
    """A key that etcd has: its value, and the revision that wrote it last."""

    value: str
    revision: int


@dataclass(frozen=True)
class Refusal:
    """etcd's own words, made printable, and whether another member may do better."""

    reason: str
    passing: bool


def login_question(user: str, password: str) -> bytes:
    """Ask for a token that goes with every other question."""
    return _question({"name": user, "password": password})


def read_token(body: bytes) -> str:
    """Read the answer to LOGIN. Raises NotEtcds."""
    token = _object(body).get("token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise NotEtcds
    return token


def look_question(keys: Iterable[str], prefixes: Iterable[str]) -> bytes:
    """Ask for these keys and for all below these prefixes, as they were at one moment: one read transaction."""
    ranges = [{"key": _coded(key)} for key in keys]
    ranges += [{"key": _coded(prefix), "range_end": _coded(_end_of(prefix))} for prefix in prefixes]
    return _question({"success": [{"request_range": each} for each in ranges]})


def read_look(body: bytes) -> dict[str, Kept]:
    """Read the answer to a look. Raises NotEtcds."""
    responses = _object(body).get("responses")
    if not isinstance(responses, list):
        raise NotEtcds
    found: dict[str, Kept] = {}
    for response in responses:
        held = response.get("response_range") if isinstance(response, dict) else None
        pairs = held.get("kvs", []) if isinstance(held, dict) else None
        if not isinstance(pairs, list):
            raise NotEtcds
        for pair in pairs:
            if not isinstance(pair, dict):
                raise NotEtcds
            found[_text(pair.get("key"))] = Kept(_text(pair.get("value", "")), _number(pair.get("mod_revision")))
    return found


def write_question(put: Mapping[str, str], remove: Iterable[str], unchanged: Mapping[str, int]) -> bytes:
    """Ask to write all of it or nothing: only if each key of `unchanged` still has this revision, 0 for no such key."""
    compare = [
        {"key": _coded(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
        for key, revision in sorted(unchanged.items())
    ]
    writes: list[dict[str, Any]] = [
        {"request_put": {"key": _coded(key), "value": _coded(value)}} for key, value in sorted(put.items())
    ]
    writes += [{"request_delete_range": {"key": _coded(key)}} for key in sorted(remove)]
    return _question({"compare": compare, "success": writes})


def read_written(body: bytes) -> bool:
    """True if the transaction was carried out, False if a key had changed. Raises NotEtcds."""
    answer = _object(body)
    if "header" not in answer:
        raise NotEtcds
    return answer.get("succeeded") is True


def read_refusal(status: int, body: bytes) -> Refusal:
    """Read the answer to a question that failed. The token that has expired counts as passing."""
    try:
        said = _object(body).get("error") or _object(body).get("message")
    except NotEtcds:
        said = None
    reason = printable(str(said))[:_LONGEST_REASON] if isinstance(said, str) else f"status {status}, not in etcd's form"
    return Refusal(reason, status >= 500 or "invalid auth token" in reason)


def _end_of(prefix: str) -> str:
    """Return the first key behind all that begin with the prefix; it ends with a plain character."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _question(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise NotEtcds from None
    if not isinstance(answer, dict):
        raise NotEtcds
    return answer


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotEtcds
    try:
        return base64.b64decode(value, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        raise NotEtcds from None


def _number(value: object) -> int:
    """A number of 64 bits is a string in etcd's JSON."""
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal() or len(value) > 19:
        raise NotEtcds
    return int(value)
