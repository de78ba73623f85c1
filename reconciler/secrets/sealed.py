"""One age file a secret: in plain lines for whom it is, then the armor that every age program reads.

    # for age1qyqs… anna
    -----BEGIN AGE ENCRYPTED FILE-----

age itself does not tell whom a file was encrypted for; a review and `secrets check` want to know. Without this program:
`grep -v '^#' FILE | age -d -i KEYS`. Files made by `age` alone are read just as well.
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
    """Who can open: a public key, and what people call its owner."""

    key: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or (self.key if len(self.key) <= 20 else f"{self.key[:12]}…{self.key[-4:]}")


@dataclass(frozen=True)
class Readers:
    """For whom a file says it is, and for how many keys it was really encrypted."""

    listed: tuple[Recipient, ...]
    keys: int

    def difference_from(self, wanted: Sequence[Recipient]) -> str:
        """Why this is not what these recipients should have; "" when it is."""
        if not self.listed:
            return "does not say for whom it is"
        if self.keys != len(self.listed):
            return f"is encrypted for {self.keys} keys and names {len(self.listed)}"
        now, then = {each.key for each in wanted}, {each.key for each in self.listed}
        gone = [str(each) for each in self.listed if each.key not in now]
        new = [str(each) for each in wanted if each.key not in then]
        said = [f"{', '.join(gone)} can still read it"] * bool(gone) + [f"{', '.join(new)} cannot read it"] * bool(new)
        return " and ".join(said)


def read_recipients(text: bytes, file: str) -> tuple[Recipient, ...]:
    """The recipients file, as `age -R` takes it; a comment right above an age key is its owner's name."""
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
            "take it out, and make a new one if it was ever committed; here go public keys, as age-keygen -y prints"
        )
        raise UsageError(f"{where}  holds a private key", next_step)
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
    """What the library takes. Raises ValueError, which says why it cannot be."""
    import pyrage

    if re.fullmatch(r"age1[a-z0-9]+1[02-9ac-hj-np-z]+", recipient.key):
        raise ValueError("keys of plugins cannot be used here")
    try:
        if recipient.key.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(recipient.key)
        return pyrage.x25519.Recipient.from_str(recipient.key)
    except pyrage.RecipientError:
        raise ValueError("the key is damaged or of a kind that age does not know") from None


def seal(value: bytes, recipients: Sequence[Recipient]) -> bytes:
    """The file for these recipients."""
    import pyrage

    head = "".join(f"# for {each.key} {each.name}".rstrip() + "\n" for each in recipients)
    armor = bytes(pyrage.encrypt(value, [_public_key(each) for each in recipients], armored=True))
    return head.encode() + armor.strip() + b"\n"


def unseal(content: bytes, keys: Keys, file: str) -> bytes:
    """What is in the file. Raises SecretRefused."""
    import pyrage

    try:
        return bytes(pyrage.decrypt(_armor(content), list(keys.identities)))
    except pyrage.DecryptError as error:
        fits = "No matching keys" not in str(error)
    if fits:
        raise SecretRefused(f"{file} is damaged", "take it from an earlier commit, or set it anew")
    readers = readers_of(content).listed
    raise keys.refusal(file, [str(each) for each in readers])


def readers_of(content: bytes) -> Readers:
    """For whom the file is, as far as can be told without a private key."""
    lines = content[: content.find(_BEGIN)] if _BEGIN in content else b""
    found = (_LINE.fullmatch(line) for line in lines.decode("utf-8", "replace").splitlines())
    listed = tuple(Recipient(match[1], match[2] or "") for match in found if match)
    return Readers(listed, _stanzas(_armor(content)))


def _armor(content: bytes) -> bytes:
    content = content.replace(b"\r\n", b"\n") if _BEGIN in content else content
    return content[content.find(_BEGIN) :] if _BEGIN in content else content


def _stanzas(content: bytes) -> int:
    """How many keys open the file. Some age programs add stanzas of no use, whose kind ends in -grease."""
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
