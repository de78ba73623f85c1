"""Tell whether an encrypted value is another one than before, without a key. Pure.

Only the ciphertext is compared: a value that was encrypted again, for other recipients, looks like a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from reconciler.errors import SecretRefused
from reconciler.secrets.vault import Vault


def fingerprints(files: Mapping[str, bytes], names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each secret's ciphertext in these files; "" for a secret that is not in any of them."""
    vault = Vault(files, {})
    return {name: _fingerprint(vault, name) for name in sorted(set(names))}


def _fingerprint(vault: Vault, name: str) -> str:
    if path := vault.age_file(name):
        return _digest(vault.files[path])
    try:
        place = vault.sops_place(name)
    except SecretRefused as refused:
        return _digest(str(refused).encode())
    return _digest(vault.sops_file(place.path).names[place.keys].text.encode()) if place else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
