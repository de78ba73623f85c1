"""The frame of an age file: armor, header, stanzas and MAC, read strictly as its specification says. No cryptography.

The library that decrypts accepts some damaged frames. A file that other age programs refuse must not work here.
"""

from __future__ import annotations

import base64
import re

_INTRO = b"age-encryption.org/v1\n"
_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_STANZA = re.compile(rb"-> ([!-~]+)(?: [!-~]+)*\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n")
_MAC = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
_BLANK_OR_COMMENT = re.compile(rb"[ \t\r]*(?:#[^\n]*)?")


class NotAge(ValueError):
    """The bytes are not a whole age file."""


def split_comments(content: bytes) -> tuple[bytes, bytes]:
    """Return the comment lines before the armor, and the rest. A file without armor has no comments."""
    at = content.find(_BEGIN)
    comments = content[: max(at, 0)]
    # Anything else before the armor stays where it is, and makes the file a damaged one.
    if not all(_BLANK_OR_COMMENT.fullmatch(line) for line in comments.split(b"\n")):
        return b"", content
    return comments, content[len(comments) :]


def remove_armor(content: bytes) -> bytes:
    """Return the binary file in an armored one; a binary file unchanged. Raises NotAge for damaged armor."""
    if content.startswith(_INTRO):
        return content
    lines = [line.removesuffix(b"\r") for line in content.strip().split(b"\n")]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise NotAge
    *full, last = lines[1:-1]
    if any(len(line) != _COLUMNS for line in full) or not 0 < len(last) <= _COLUMNS:
        raise NotAge
    return _decode(b"".join((*full, last)))


def stanza_kinds(binary: bytes) -> tuple[str, ...]:
    """Return the kind of each stanza, such as X25519: the key that opens it. Raises NotAge for a damaged header.

    Stanzas whose kind ends in -grease are left out: some age programs add them, and no key opens them.
    """
    if not binary.startswith(_INTRO):
        raise NotAge
    kinds, at = [], len(_INTRO)
    while stanza := _STANZA.match(binary, at):
        _decode_unpadded(stanza[2].replace(b"\n", b""))
        kinds.append(stanza[1].decode())
        at = stanza.end()
    mac = _MAC.match(binary, at)
    if not kinds or mac is None or ("scrypt" in kinds and len(kinds) > 1):
        raise NotAge
    _decode_unpadded(mac[1])
    return tuple(kind for kind in kinds if not kind.endswith("-grease"))


def _decode_unpadded(text: bytes) -> bytes:
    return _decode(text + b"=" * (-len(text) % 4))


def _decode(text: bytes) -> bytes:
    """Return the bytes that this canonical base64 stands for. Raises NotAge."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        raise NotAge from None
    if base64.b64encode(found) != text:
        raise NotAge
    return found
