"""A certificate of one's own: PEM text from a secret, read and checked before a host gets it. Pure.

No message quotes the text, since a private key is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END \1-----")
_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
# One line of the file, as `_block` writes it. The form must also suit grep -E.
PEM_LINE = r"(-----(BEGIN|END) (CERTIFICATE|(RSA |EC )?PRIVATE KEY)-----|[A-Za-z0-9+/=]{1,64})"


@dataclass(frozen=True)
class KeyPair:
    """A certificate, those that issued it, and its key. Neither the text nor the key shows in a repr."""

    secret: str  # the name of the secret that it came from
    names: tuple[str, ...]
    ends_epoch_seconds: int
    pem: str = field(repr=False)
    key: str = field(repr=False)  # the part of `pem` that nobody may see


def read_key_pair(secret: str, text: str) -> KeyPair:
    """Read PEM text. Raises ValueError, which says what is wrong with it."""
    blocks = [(found[1], _block(found[1], found[2])) for found in _BLOCK.finditer(text)]
    keys = [block for kind, block in blocks if kind in _KEYS]
    chain = [block for kind, block in blocks if kind == "CERTIFICATE"]
    if "ENCRYPTED" in text:
        raise ValueError("has a key with a passphrase, which Traefik cannot open")
    if not chain:
        raise ValueError("has no certificate (-----BEGIN CERTIFICATE-----)")
    if len(keys) != 1:
        raise ValueError(f"has {len(keys) or 'no'} private {'keys' if len(keys) > 1 else 'key'} beside its certificate")
    certificate = _checked(chain, keys[0])
    ends = int(certificate.not_valid_after_utc.timestamp())
    return KeyPair(secret, _names(certificate), ends, "".join((*chain, *keys)), keys[0])


def _block(kind: str, body: str) -> str:
    letters = "".join(body.split())
    lines = [letters[at : at + 64] for at in range(0, len(letters), 64)]
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""))


def _checked(chain: list[str], key_text: str) -> Certificate:
    """The first certificate, once it is that of the key, and each of the others is that of the former's issuer."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        certificates = [x509.load_pem_x509_certificate(block.encode()) for block in chain]
    except ValueError:
        raise ValueError("has a certificate that cannot be read") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        own = load_pem_private_key(key_text.encode(), None).public_key().public_bytes(*form)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("has a private key that cannot be read") from None
    matching = [index for index, each in enumerate(certificates) if each.public_key().public_bytes(*form) == own]
    if not matching:
        raise ValueError("has a private key that is not that of its certificate")
    if matching[0] > 0:
        raise ValueError("must begin with the certificate of its key; those of its issuers follow")
    for number, (each, issuer) in enumerate(pairwise(certificates), 2):
        if each.issuer != issuer.subject:
            raise ValueError(f"has as certificate {number} one that did not issue the one before it")
    return certificates[0]


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise ValueError("has a certificate for no domain (subjectAltName)") from None
    return tuple(sorted({name.lower() for name in found.get_values_for_type(x509.DNSName)}))


def uncovered(pair: KeyPair, domains: Iterable[str]) -> tuple[str, ...]:
    """Those of the domains for which the certificate is not good."""
    return tuple(name for name in domains if not {name, f"*.{name.partition('.')[2]}"} & set(pair.names))


def certificate_text(pair: KeyPair) -> str:
    """Return the file for Traefik. As in a route, its last line shows that the file is complete."""
    return f"{pair.pem}# end\n"


def certificate_path(folder: str, app: str) -> str:
    """Return the path of an app's certificate and key: beside its route, where Traefik may read but finds no routes."""
    return f"{folder}/{app}.pem"
