"""One age file per secret: its recipients in plain lines, then the armor that every age program reads.

    # for age1qyqs… anna
    -----BEGIN AGE ENCRYPTED FILE-----

age itself does not record the recipients in readable form; reviewers and `secrets check` need them. To decrypt a file
without reconcile: `grep -v '^#' FILE | age -d -i KEYS`. Files made by `age` alone can be read, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.errors import SecretRefused, UsageError
from reconciler.secrets.age_format import NotAge, remove_armor, split_comments, stanza_kinds
from reconciler.secrets.identities import Keys

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
    """The recipients that a file lists, and the number of keys that it is actually encrypted for; None if damaged."""

    listed: tuple[Recipient, ...]
    keys: int | None

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


@dataclass(frozen=True)
class RecipientList:
    """The recipients file: the keys that can be used, and an error for each line that is none of these."""

    recipients: tuple[Recipient, ...]
    errors: tuple[UsageError, ...] = ()

    def all_or_refuse(self) -> tuple[Recipient, ...]:
        """Return the recipients. Raises UsageError if there is a line that cannot be encrypted for."""
        if self.errors:
            raise self.errors[0]
        return self.recipients


def read_recipients(text: bytes, file: str) -> RecipientList:
    """Read a recipients file in the format of `age -R`. A comment right above an age key is its owner's name.

    Raises UsageError if it contains a private key.
    """
    found: dict[str, Recipient] = {}
    errors = []
    name = ""
    for number, line in enumerate(text.decode("utf-8-sig", "replace").splitlines(), 1):
        line = line.strip()
        if line.startswith("#"):
            name = line.lstrip("# ").strip()
            continue
        if line:
            _refuse_private_key(line, f"{file}:{number}")
            try:
                recipient = _recipient(line, name)
                found.setdefault(recipient.key, recipient)
            except ValueError as error:
                message = f"{file}:{number}  is not a recipient: {error}"
                errors.append(UsageError(message, "write age1… or a line of an ssh .pub file"))
        name = ""
    return RecipientList(tuple(found.values()), tuple(errors))


def _refuse_private_key(line: str, where: str) -> None:
    if "PRIVATE KEY" in line or line.upper().startswith("AGE-SECRET-KEY-"):
        next_step = (
            "remove it, and replace it if it was ever committed; only public keys belong here, as age-keygen -y prints"
        )
        raise UsageError(f"{where}  contains a private key", next_step)


def _recipient(line: str, name: str) -> Recipient:
    """Return the recipient in this line. Raises ValueError with the reason."""
    kind, _, rest = line.partition(" ")
    if kind in ("ssh-ed25519", "ssh-rsa"):
        blob, _, comment = rest.strip().partition(" ")
        recipient = Recipient(f"{kind} {blob}", comment.strip() or name)
    else:
        recipient = Recipient(line, name)
    _public_key(recipient)
    return recipient


def _public_key(recipient: Recipient) -> object:
    """Return the key as pyrage takes it. Raises ValueError with the reason."""
    import pyrage

    kinds = {"ssh-": pyrage.ssh, "age1tag1": pyrage.tag}  # the latter is in a security token
    kind = next((kinds[start] for start in kinds if recipient.key.startswith(start)), pyrage.x25519)
    if recipient.key.startswith(("age1pq1", "age1tagpq1")):
        raise ValueError("post-quantum keys are not supported")
    if kind is pyrage.x25519 and re.fullmatch(r"age1[a-z0-9]+1[02-9ac-hj-np-z]+", recipient.key):
        raise ValueError("plugin keys are not supported")
    try:
        return kind.Recipient.from_str(recipient.key)
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
    try:
        binary = remove_armor(split_comments(content)[1])
        kinds = stanza_kinds(binary)
        value = decrypt(binary, keys)
    except NotAge:
        raise damaged(file) from None
    if value is not None:
        return value
    if kinds == ("scrypt",):
        raise SecretRefused(f"{file} is encrypted with a passphrase, which reconcile cannot ask for", "set it again")
    raise keys.refusal(file, [str(each) for each in readers_of(content).listed], kinds)


def damaged(file: str) -> SecretRefused:
    """Return the error for a file that is not a whole age file."""
    return SecretRefused(f"{file} is damaged", "restore it from an earlier commit, or set it again")


def decrypt(binary: bytes, keys: Keys) -> bytes | None:
    """Return the content of a binary age file; None if none of these keys opens it. Raises NotAge if it is damaged."""
    import pyrage

    try:
        return bytes(pyrage.decrypt(binary, list(keys.identities)))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            return None
        raise NotAge from None


def readers_of(content: bytes) -> Readers:
    """Return the recipients of an age file, as far as it reveals them without a private key."""
    comments, rest = split_comments(content)
    found = (_LINE.fullmatch(line) for line in comments.decode("utf-8", "replace").splitlines())
    listed = tuple(Recipient(match[1], match[2] or "") for match in found if match)
    try:
        return Readers(listed, len(stanza_kinds(remove_armor(rest))))
    except NotAge:
        return Readers(listed, None)
