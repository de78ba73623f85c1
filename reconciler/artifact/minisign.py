"""Signatures of minisign: both formats, and the trusted comment with its own signature. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from reconciler.errors import ArtifactRefused

_SIGN_AGAIN: Final = "sign it again with minisign -S, and publish the .minisig"


@dataclass(frozen=True)
class Signature:
    """The content of a .minisig. `prehashed`: it signs the BLAKE2b-512 of the file, not the file itself."""

    prehashed: bool
    key_id: bytes
    value: bytes
    trusted_comment: str
    global_value: bytes

    @property
    def signed_name(self) -> str:
        """The file's name at signing time, which minisign writes into the trusted comment; "" if there is none."""
        named = [field[5:] for field in self.trusted_comment.split("\t") if field.startswith("file:")]
        return named[0].rpartition("/")[2] if len(named) == 1 else ""


def read_signature(text: str, name: str) -> Signature:
    """Return the signature in the text of the .minisig called `name`. Raises ArtifactRefused."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    try:
        untrusted, encoded, comment, encoded_global = lines
        value, global_value = (base64.b64decode(text, validate=True) for text in (encoded, encoded_global))
    except (ValueError, binascii.Error):
        raise ArtifactRefused(f"{name} is not a minisign signature", _SIGN_AGAIN) from None
    well_formed = untrusted.startswith("untrusted comment: ") and comment.startswith("trusted comment: ")
    if not well_formed or len(value) != 74 or len(global_value) != 64 or value[:2] not in (b"ED", b"Ed"):
        raise ArtifactRefused(f"{name} is not a minisign signature", _SIGN_AGAIN)
    trusted = comment.removeprefix("trusted comment: ")
    return Signature(value[:2] == b"ED", value[2:10], value[10:], trusted, global_value)


def verify(signature: Signature, key: str, message: bytes, what: str, file_name: str) -> None:
    """Raise ArtifactRefused unless `key` signed `message`, the file's BLAKE2b-512 if prehashed, else the file.

    The trusted comment must state `file_name`. `what` names the artifact in messages.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = base64.b64decode(key)
    if signature.key_id != raw[2:10]:
        theirs, ours = (key_id[::-1].hex().upper() for key_id in (signature.key_id, raw[2:10]))
        raise ArtifactRefused(
            f"{what} is signed with the key {theirs}, not with {ours}",
            "sign it with the right key; if the key was changed on purpose, change artifact.minisign",
        )
    public = Ed25519PublicKey.from_public_bytes(raw[10:])
    try:
        public.verify(signature.value, message)
        public.verify(signature.global_value, signature.value + signature.trusted_comment.encode())
    except InvalidSignature:
        raise ArtifactRefused(f"the signature of {what} does not match its content", _SIGN_AGAIN) from None
    # Otherwise an old artifact, with its signature, could be passed off as a newer one.
    if not signature.signed_name:
        raise ArtifactRefused(
            f"the signature of {what} does not say which file it is for: its trusted comment has no file:{file_name}",
            f"sign it without -t, or with minisign -S -t 'file:{file_name}' -m {file_name}, and publish the .minisig",
        )
    if signature.signed_name != file_name:
        raise ArtifactRefused(
            f"the signature of {what} was made for a file called {signature.signed_name}",
            f"sign the file under the name it is published as, {file_name}",
        )
