"""Writes SOPS files by the documented algorithm; shares no code with the reader under test."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyrage
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LAST_MODIFIED = "2026-11-20T10:00:00Z"
RULES: dict[str, Callable[[str, str], bool]] = {
    "unencrypted_suffix": lambda word, key: not key.endswith(word),
    "encrypted_suffix": lambda word, key: key.endswith(word),
    "unencrypted_regex": lambda word, key: re.search(word, key) is None,
    "encrypted_regex": lambda word, key: re.search(word, key) is not None,
}


class _Literal(str):
    """Text that goes into YAML as a block, as sops writes the armor."""


yaml.SafeDumper.add_representer(
    _Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def sops_file(
    values: dict[str, Any],
    recipients: Sequence[str],
    form: str = "yaml",
    *,
    only_encrypted: bool = False,
    comment: str = "",
    **rule: str,
) -> str:
    """The encrypted file. `rule` is at most one of unencrypted_suffix and the like."""
    name, word = next(iter((rule or {"unencrypted_suffix": "_unencrypted"}).items()))
    decide = all if name.startswith("unencrypted") else any
    key = os.urandom(32)
    counted = hashlib.sha512(hashlib.sha256(b"sops").digest() if only_encrypted else b"")

    def walk(value: Any, keys: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {part: walk(inner, (*keys, part)) for part, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, keys) for inner in value]
        if value is None:
            return None
        secret = decide(RULES[name](word, part) for part in keys)
        if secret or not only_encrypted:
            counted.update(as_bytes(value))
        return encrypted(value, key, ":".join(keys) + ":") if secret else value

    body = {part: walk(inner, (part,)) for part, inner in values.items()}
    mac = encrypted(counted.hexdigest().upper(), key, LAST_MODIFIED)
    body["sops"] = {
        "age": [{"recipient": each, "enc": _Literal(_sealed(key, each))} for each in recipients],
        "lastmodified": LAST_MODIFIED,
        "mac": mac,
        name: word,
        **({"mac_only_encrypted": True} if only_encrypted else {}),
        "version": "3.10.2",
    }
    if form == "json":
        return json.dumps(body, indent="\t") + "\n"
    head = f"#{encrypted(comment, key, '', 'comment')}\n" if comment else ""
    return head + yaml.safe_dump(body, sort_keys=False, width=1 << 20, allow_unicode=True)


def encrypted(value: Any, key: bytes, bound_to: str, kind: str = "") -> str:
    content = as_bytes(value)
    if not content:
        return ""
    iv = os.urandom(32)
    sealed = AESGCM(key).encrypt(iv, content, bound_to.encode())
    parts = (base64.b64encode(part).decode() for part in (sealed[:-16], iv, sealed[-16:]))
    kind = kind or {bool: "bool", int: "int", float: "float"}.get(type(value), "str")
    return "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{}]".format(*parts, kind)


def as_bytes(value: Any) -> bytes:
    if isinstance(value, float):
        return f"{value:.17g}".encode() if f"{value:.16g}" != str(value) else str(value).removesuffix(".0").encode()
    return str(value).encode()


def _sealed(key: bytes, recipient: str) -> str:
    kind = pyrage.ssh if recipient.startswith("ssh-") else pyrage.x25519
    return str(pyrage.encrypt(key, [kind.Recipient.from_str(recipient)], armored=True).decode())


def parts_of(text: str) -> Iterator[re.Match[str]]:
    """Each encrypted value in the text."""
    return re.finditer(r"ENC\[[^\]]*\]", text)
