"""The private keys of this controller, from where age and SOPS look for them. No repr or error contains them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.errors import SecretRefused
from reconciler.words import printable

FILE_VARIABLES = ("RECONCILE_AGE_KEY_FILE", "SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE")
TEXT_VARIABLE = "SOPS_AGE_KEY"
_LARGEST = 1 << 16
_KINDS = ("X25519", "ssh-ed25519", "ssh-rsa")  # of stanzas that such keys open
_SSH_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Keys:
    """Private keys, and the places searched for them. `troubles` lists what was found but could not be used."""

    identities: tuple[object, ...] = field(default=(), repr=False)
    found: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    open_to_others: tuple[str, ...] = ()

    def refusal(self, file: str, readers: Sequence[str], kinds: Sequence[str] = ()) -> SecretRefused:
        """Return the error for a file that none of these keys opens. `kinds` are the kinds of key that would."""
        if kinds and not any(kind in _KINDS for kind in kinds):
            named = printable(", ".join(dict.fromkeys(kinds)), 60)
            problem = f"{file} is encrypted only for keys of a kind that is not supported ({named})"
            return SecretRefused(problem, "encrypt it for an X25519 key (age1…) or an ssh key as well")
        if self.found:
            problem = f"{file} is not encrypted for the keys in {', '.join(self.found)}"
        else:
            places = ", ".join(self.looked) or f"{FILE_VARIABLES[0]}, and HOME is not set"
            problem = f"{file} is encrypted, and there is no private key in {places}"
        if self.troubles:
            problem += f" ({'; '.join(self.troubles)})"
        whose = f" of {' or '.join(readers)}" if readers else ""
        return SecretRefused(problem, f"set RECONCILE_AGE_KEY_FILE to a private key{whose}")


def find_keys(environ: Mapping[str, str]) -> Keys:
    """Return all keys at the usual places. A key that cannot be read is reported only when a file needs it."""
    identities: list[object] = []
    found: list[str] = []
    looked: list[str] = []
    troubles: list[str] = []
    exposed: list[str] = []
    if environ.get(TEXT_VARIABLE):
        _add_keys(environ[TEXT_VARIABLE], TEXT_VARIABLE, identities, found, troubles)
    for path, label, named in _places(environ):
        looked.append(label)
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST).decode("utf-8", "replace")
                exposed += [label] * bool(os.fstat(file.fileno()).st_mode & 0o077)
        except OSError as error:
            if named or not isinstance(error, FileNotFoundError | NotADirectoryError):
                troubles.append(f"{label}: {error.strerror}")
            continue
        _add_keys(text, label, identities, found, troubles)
    return Keys(tuple(identities), tuple(found), tuple(looked), tuple(troubles), tuple(exposed))


def _places(environ: Mapping[str, str]) -> list[tuple[Path, str, bool]]:
    """Return (file, its name in messages, True if a variable names it), in the order in which they are tried."""
    places = [(Path(environ[name]), f"{name} ({environ[name]})", True) for name in FILE_VARIABLES if environ.get(name)]
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    config = Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else home and home / ".config"
    if config is not None:
        places.append((config / "sops/age/keys.txt", _short_path(config / "sops/age/keys.txt", home), False))
    if home is not None:
        if sys.platform == "darwin":
            path = home / "Library/Application Support/sops/age/keys.txt"
            places.append((path, _short_path(path, home), False))
        places += [(home / ".ssh" / name, f"~/.ssh/{name}", False) for name in ("id_ed25519", "id_rsa")]
    return places


def _short_path(path: Path, home: Path | None) -> str:
    return f"~/{path.relative_to(home)}" if home and path.is_relative_to(home) else str(path)


def _add_keys(text: str, label: str, identities: list[object], found: list[str], troubles: list[str]) -> None:
    read, wrong = _read_keys(text)
    identities += read
    found += [label] * bool(read)
    troubles += [f"{label}: {each}" for each in wrong]


def _read_keys(text: str) -> tuple[list[object], list[str]]:
    """Return the keys in a file with age keys, ssh keys or both, and what in it is not a key that can be used.

    The descriptions are our own text: a library might quote the key.
    """
    if text.startswith(("age-encryption.org/", "-----BEGIN AGE")):
        return [], ["is protected by a passphrase, which reconcile cannot ask for"]
    identities: list[object] = []
    troubles: list[str] = []

    def take(read: Callable[[str], object], key: str, where: str = "") -> None:
        try:
            identities.append(read(key))
        except ValueError as error:
            troubles.append(f"{where}{error}")

    for block in _SSH_KEY.findall(text):
        take(_read_ssh, block + "\n")
    # The lines of an ssh key keep their place, so that the others keep their number.
    rest = _SSH_KEY.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(rest.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            take(_read_age, line, f"line {number} ")
    return identities, troubles


def _read_age(line: str) -> object:
    """Return the key in this line. Raises ValueError."""
    import pyrage

    if line.upper().startswith("AGE-PLUGIN-"):
        raise ValueError("is a plugin key, which is not supported")
    if line.upper().startswith("AGE-SECRET-KEY-PQ-"):
        raise ValueError("is a post-quantum key, which is not supported")
    try:
        return pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError:
        raise ValueError("is not an age private key") from None


def _read_ssh(text: str) -> object:
    """Return the key in this block. Raises ValueError."""
    import pyrage

    try:
        return pyrage.ssh.Identity.from_buffer(text.encode())
    except pyrage.IdentityError as error:
        if "decrypted" in str(error):
            raise ValueError("is protected by a passphrase, which reconcile cannot ask for") from None
        raise ValueError("is not an ssh key that age supports (ed25519, rsa)") from None
