"""One age file per secret: its recipients in plain lines, then the armor that every age program reads.

    # for age1qyqs… anna
    -----BEGIN AGE ENCRYPTED FILE-----

age itself does not record the recipients in readable form; reviewers and `secrets check` need them. To decrypt a file
without reconcile: `grep -v '^#' FILE | age -d -i KEYS`. Files made by `age` alone can be read, too.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.errors import SecretRefused, UsageError
from reconciler.secrets.identities import Keys

_INTRO = b"age-encryption.org/v1\n"
_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_LINE = re.compile(r"# for (age1[0-9a-z]+|ssh-(?:ed25519|rsa) [A-Za-z0-9+/=]+)(?: (.*))?")


@dataclass(frozen=True)
class Recipient:
    """A public key that a file is encrypted for, and its owner's name."""

    key: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or (self.key if len(self.key) <= 20 else f"{self.key[:12]}…{self.key[-4:]}")


@dataclass(frozen=True)
class Readers:
    """The recipients that a file lists, and the number of keys that it is actually encrypted for."""

    listed: tuple[Recipient, ...]
    keys: int

    def difference_from(self, wanted: Sequence[Recipient]) -> str:
        """Return how this differs from `wanted`, as the rest of a sentence about the file; "" if it does not."""
        if not self.listed:
            return "does not list its recipients"
        if self.keys != len(self.listed):
            return f"is encrypted for {self.keys} keys, but lists {len(self.listed)}"
        wanted_keys, listed_keys = {each.key for each in wanted}, {each.key for each in self.listed}
        gone = [str(each) for each in self.listed if each.key not in wanted_keys]
        new = [str(each) for each in wanted if each.key not in listed_keys]
        parts = [f"{', '.join(gone)} can still read it"] * bool(gone) + [f"{', '.join(new)} cannot read it"] * bool(new)
        return " and ".join(parts)


def read_recipients(text: bytes, file: str) -> tuple[Recipient, ...]:
    """Read a recipients file in the format of `age -R`. A comment right above an age key is its owner's name.

    Raises UsageError.
    """
    found: dict[str, Recipient] = {}
    name = ""
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        line = line.strip()
        if line.startswith("#"):
            name = line.lstrip("# ").strip()
            continue
        if line:
            recipient = _recipient(line, name, f"{file}:{number}")
            found.setdefault(recipient.key, recipient)
        name = ""
    return tuple(found.values())


def _recipient(line: str, name: str, where: str) -> Recipient:
    if "PRIVATE KEY" in line or line.upper().startswith("AGE-SECRET-KEY-"):
        next_step = (
            "remove it, and replace it if it was ever committed; only public keys belong here, as age-keygen -y prints"
        )
        raise UsageError(f"{where}  contains a private key", next_step)
    kind, _, rest = line.partition(" ")
    if kind in ("ssh-ed25519", "ssh-rsa"):
        blob, _, comment = rest.strip().partition(" ")
        recipient = Recipient(f"{kind} {blob}", comment.strip() or name)
    else:
        recipient = Recipient(line, name)
    try:
        _public_key(recipient)
    except ValueError as error:
        raise UsageError(f"{where}  is not a recipient: {error}", "write age1… or a line of an ssh .pub file") from None
    return recipient


def _public_key(recipient: Recipient) -> object:
    """Return the key as pyrage takes it. Raises ValueError with the reason."""
    import pyrage

    if re.fullmatch(r"age1[a-z0-9]+1[02-9ac-hj-np-z]+", recipient.key):
        raise ValueError("plugin keys are not supported")
    try:
        if recipient.key.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(recipient.key)
        return pyrage.x25519.Recipient.from_str(recipient.key)
    except pyrage.RecipientError:
        raise ValueError("the key is damaged, or of a type that age does not support") from None


def seal(value: bytes, recipients: Sequence[Recipient]) -> bytes:
    """Return an age file with this value, encrypted for these recipients."""
    import pyrage

    head = "".join(f"# for {each.key} {each.name}".rstrip() + "\n" for each in recipients)
    armor = bytes(pyrage.encrypt(value, [_public_key(each) for each in recipients], armored=True))
    return head.encode() + armor.strip() + b"\n"


def unseal(content: bytes, keys: Keys, file: str) -> bytes:
    """Return the value in an age file. Raises SecretRefused."""
    import pyrage

    try:
        return bytes(pyrage.decrypt(_armor(content), list(keys.identities)))
    except pyrage.DecryptError as error:
        has_our_key = "No matching keys" not in str(error)
    if has_our_key:
        raise SecretRefused(f"{file} is damaged", "restore it from an earlier commit, or set it again")
    readers = readers_of(content).listed
    raise keys.refusal(file, [str(each) for each in readers])


def readers_of(content: bytes) -> Readers:
    """Return the recipients of an age file, as far as it reveals them without a private key."""
    lines = content[: content.find(_BEGIN)] if _BEGIN in content else b""
    found = (_LINE.fullmatch(line) for line in lines.decode("utf-8", "replace").splitlines())
    listed = tuple(Recipient(match[1], match[2] or "") for match in found if match)
    return Readers(listed, _stanzas(_armor(content)))


def _armor(content: bytes) -> bytes:
    content = content.replace(b"\r\n", b"\n") if _BEGIN in content else content
    return content[content.find(_BEGIN) :] if _BEGIN in content else content


def _stanzas(content: bytes) -> int:
    """Return how many keys open the file. Some age programs add dummy stanzas, whose type ends in -grease."""
    if content.startswith(_BEGIN):
        body = b"".join(line for line in content.splitlines() if not line.startswith(b"-----"))
        try:
            content = base64.b64decode(body)
        except binascii.Error:
            return 0
    if not content.startswith(_INTRO):
        return 0
    head = content[: content.find(b"\n---") + 1]
    kinds = [line.split(b" ")[1] for line in head.splitlines() if line.startswith(b"-> ")]
    return sum(not kind.endswith(b"-grease") for kind in kinds)
