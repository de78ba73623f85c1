"""Writes age files by the specification, whole or damaged in one place; shares no code with the reader under test."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FILE_KEY = b"YELLOW SUBMARINE"
INTRO = "age-encryption.org/v1\n"
BEGIN, END = "-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"
CHUNK = 64 * 1024
_SECRET = bytes(range(32))


def identity() -> str:
    """The private key that opens what x25519_stanza() makes."""
    return bech32("AGE-SECRET-KEY-", _SECRET).upper()


def recipient() -> str:
    return bech32("age", _public())


def hardware_recipient(kind: str = "age1tag") -> str:
    """A public key of the kind that lies in a security token."""
    point = generate_private_key(SECP256R1()).public_key()
    form = serialization.PublicFormat.CompressedPoint
    return bech32(kind, point.public_bytes(serialization.Encoding.X962, form))


def x25519_stanza(share: bytes | None = None, extra: str = "") -> str:
    mine = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    public = mine.public_key().public_bytes_raw() if share is None else share
    shared = mine.exchange(X25519PublicKey.from_public_bytes(_public()))
    key = _hkdf(shared, public + _public(), b"age-encryption.org/v1/X25519")
    body = ChaCha20Poly1305(key).encrypt(bytes(12), FILE_KEY, None)
    return f"-> X25519 {b64(public)}{extra}\n{b64(body)}\n"


def mac_line(head: str) -> str:
    """The last line of a header, for everything above it."""
    key = _hkdf(FILE_KEY, b"", b"header")
    return f"--- {b64(hmac.digest(key, f'{head}---'.encode(), hashlib.sha256))}\n"


def payload(value: bytes, chunks: Sequence[bytes] | None = None, last: bool = True) -> bytes:
    """The encrypted value. `last` false leaves the last chunk without its mark."""
    nonce = bytes(16)
    cipher = ChaCha20Poly1305(_hkdf(FILE_KEY, nonce, b"payload"))
    if chunks is None:
        chunks = [value[at : at + CHUNK] for at in range(0, len(value), CHUNK)] or [b""]
    ends = [number == len(chunks) - 1 and last for number in range(len(chunks))]
    sealed = (
        cipher.encrypt(number.to_bytes(11) + bytes([end]), chunk, None)
        for number, (chunk, end) in enumerate(zip(chunks, ends, strict=True))
    )
    return nonce + b"".join(sealed)


def age_file(*stanzas: str, value: bytes = b"planted", mac: Callable[[str], str] = mac_line) -> bytes:
    """A binary age file with these stanzas and a right MAC over them."""
    head = INTRO + "".join(stanzas)
    return (head + mac(head)).encode() + payload(value)


def armored(content: bytes, columns: int = 64) -> str:
    text = base64.b64encode(content).decode()
    lines = [text[at : at + columns] for at in range(0, len(text), columns)]
    return "\n".join((BEGIN, *lines, END)) + "\n"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


def bech32(prefix: str, content: bytes) -> str:
    """The text of a key, as BIP 173 defines it."""
    alphabet, lower = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", prefix.lower()
    bits = "".join(f"{byte:08b}" for byte in content)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    expanded = [ord(char) >> 5 for char in lower] + [0] + [ord(char) & 31 for char in lower]
    check = _polymod([*expanded, *words, *[0] * 6]) ^ 1
    words += [(check >> 5 * (5 - place)) & 31 for place in range(6)]
    return lower + "1" + "".join(alphabet[word] for word in words)


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> place & 1 else 0
    return check


def _public() -> bytes:
    return X25519PrivateKey.from_private_bytes(_SECRET).public_key().public_bytes_raw()


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)
