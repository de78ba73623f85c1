"""SOPS files with age recipients, as the sops program writes them: decrypts them and verifies their MAC. Read only.

Each value is AES-256-GCM under the file's data key, bound to the keys on its path; the MAC is a SHA-512 over all
values in order, itself encrypted and bound to the time of the last change. If any value was exchanged, moved or
renamed, the whole file is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reconciler.errors import SecretRefused
from reconciler.secrets.age_format import NotAge, remove_armor
from reconciler.secrets.identities import Keys
from reconciler.secrets.sealed import Recipient, decrypt
from reconciler.secrets.sops_rule import RULES, RuleUnusable, rule_of
from reconciler.secrets.sops_tree import Leaf, NotSops, Tree, go_float, read_tree

_ENCRYPTED = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z0-9]+)\]"
)
_MAC_ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()  # the first bytes that such a MAC covers
_MOST_RECIPIENTS = 200  # each recipient is tried with each key
_DAMAGED = "restore it from git, or create it again with sops"


class _Wrong(ValueError):
    """A part of the file is not as SOPS wrote it. The message never contains a value."""


@dataclass(frozen=True)
class SopsFile:
    """One file, not decrypted: the names of its values can be read without a key."""

    file: str
    tree: Tree

    @classmethod
    def read(cls, content: bytes, file: str) -> SopsFile:
        """Parse a SOPS file. Raises SecretRefused if it is not one."""
        try:
            return cls(file, read_tree(content, file))
        except NotSops as error:
            raise SecretRefused(f"{file}: {error}", f"encrypt it with sops, or remove {file}") from None

    @cached_property
    def names(self) -> dict[tuple[str, ...], Leaf]:
        return {leaf.path: leaf for leaf in self.tree.leaves}

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        return tuple(Recipient(str(entry.get("recipient", ""))) for entry in self._age())

    def open(self, keys: Keys) -> Mapping[tuple[str, ...], str]:
        """Return every value, after all of them and the MAC are verified. Raises SecretRefused."""
        self._refuse_unsupported()
        data_key = self._data_key(keys)
        try:
            return self._decrypt_verified(data_key)
        except _Wrong as error:
            raise SecretRefused(f"{self.file}: {error}", _DAMAGED) from None
        except RuleUnusable as error:
            raise SecretRefused(f"{self.file}: {error}", "encrypt it with a simpler pattern, or a suffix") from None

    def _decrypt_verified(self, data_key: bytes) -> dict[tuple[str, ...], str]:
        sops = self.tree.sops
        only_encrypted = str(sops.get("mac_only_encrypted", "")).lower() == "true"
        digest = hashlib.sha512(_MAC_ONLY_ENCRYPTED if only_encrypted else b"")
        values = {}
        is_encrypted = rule_of(sops, (leaf.keys for leaf in self.tree.leaves))
        for leaf in self.tree.leaves:
            encrypted = is_encrypted(leaf.keys)
            content, values[leaf.path] = self._value(leaf, data_key, encrypted)
            if encrypted or not only_encrypted:
                digest.update(content)
        stated, _ = _decrypt(str(sops["mac"]), data_key, str(sops.get("lastmodified", "")), "its MAC")
        if not hmac.compare_digest(stated.upper(), digest.hexdigest().upper().encode()):
            raise _Wrong("its MAC does not match: something other than sops changed it")
        return values

    def _value(self, leaf: Leaf, data_key: bytes, encrypted: bool) -> tuple[bytes, str]:
        """Return the bytes that the MAC covers, and the value for an environment variable. Raises _Wrong."""
        if not encrypted:
            return leaf.text.encode(), leaf.text.lower() if leaf.truth else leaf.text
        if not leaf.text:
            return b"", ""
        name = ".".join(leaf.path)
        content, kind = _decrypt(leaf.text, data_key, ":".join(leaf.keys) + ":", name)
        return _read_typed(content, kind, name)

    def _age(self) -> list[Mapping[str, Any]]:
        entries = self.tree.sops.get("age")
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def _refuse_unsupported(self) -> None:
        sops = self.tree.sops
        for key in ("key_groups", "encrypted_comment_regex", "unencrypted_comment_regex"):
            if sops.get(key):
                raise SecretRefused(f"{self.file}: {key} is not supported", f"encrypt it without {key}")
        if sum(bool(sops.get(rule)) for rule in RULES) > 1:
            raise SecretRefused(f"{self.file} has more than one of {', '.join(RULES)}", "SOPS itself accepts only one")
        if len(self._age()) > _MOST_RECIPIENTS:
            raise SecretRefused(f"{self.file} has more than {_MOST_RECIPIENTS} recipients", _DAMAGED)
        if not self._age():
            raise SecretRefused(f"{self.file} has no age recipient", "add one to .sops.yaml and run sops updatekeys")

    def _data_key(self, keys: Keys) -> bytes:
        for entry in self._age():
            try:  # an entry that cannot be read, such as one for a new kind of key, does not hide the others
                data_key = decrypt(remove_armor(str(entry.get("enc", "")).encode(errors="replace")), keys)
            except NotAge:
                continue
            if data_key is not None and len(data_key) == 32:
                return data_key
        raise keys.refusal(self.file, [str(each) for each in self.recipients])


def _decrypt(text: str, data_key: bytes, bound_to: str, name: str) -> tuple[bytes, str]:
    """Return the decrypted bytes and their SOPS type. Raises _Wrong."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found = _ENCRYPTED.fullmatch(text)
    if found is None:
        raise _Wrong(f"{name} should be encrypted, but is not")
    try:
        data, iv, tag = (base64.b64decode(part, validate=True) for part in found.groups()[:3])
        return AESGCM(data_key).decrypt(iv, data + tag, bound_to.encode()), found[4]
    except (InvalidTag, binascii.Error, ValueError):
        raise _Wrong(f"{name} was changed, moved or renamed by something other than sops") from None


def _read_typed(content: bytes, kind: str, name: str) -> tuple[bytes, str]:
    try:
        text = content.decode()
        if kind in ("str", "bytes", "time"):
            return content, text
        if kind in ("int", "int64"):
            return str(int(text)).encode(), str(int(text))
        if kind == "float":
            return go_float(float(text)).encode(), go_float(float(text))
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower().title().encode(), text.lower()
    except ValueError:
        raise _Wrong(f"{name} is not text") from None
    raise _Wrong(f"{name} has an unknown type ({kind})")
