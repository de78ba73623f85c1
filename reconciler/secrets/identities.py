"""The private keys of this controller, from where age and SOPS look for them. No repr or error contains them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.errors import SecretRefused

FILE_VARIABLES = ("RECONCILE_AGE_KEY_FILE", "SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE")
TEXT_VARIABLE = "SOPS_AGE_KEY"
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Keys:
    """Private keys, and the places searched for them. `troubles` lists what was found but could not be used."""

    identities: tuple[object, ...] = field(default=(), repr=False)
    found: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    open_to_others: tuple[str, ...] = ()

    def refusal(self, file: str, readers: Sequence[str]) -> SecretRefused:
        """Return the error for a file that none of these keys opens."""
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
    try:
        read = _read_keys(text)
    except ValueError as error:
        troubles.append(f"{label}: {error}")
        return
    identities += read
    found += [label] * bool(read)


def _read_keys(text: str) -> list[object]:
    """Return the keys in an age or SSH key file. Raises ValueError with our own text: a library might quote the key."""
    import pyrage

    if "PRIVATE KEY-----" in text:
        return [_read_ssh(text)]
    if text.startswith(("age-encryption.org/", "-----BEGIN AGE")):
        raise ValueError("is protected by a passphrase, which reconcile cannot ask for")
    identities: list[object] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.upper().startswith("AGE-PLUGIN-"):
            raise ValueError(f"line {number} is a plugin key, which is not supported")
        try:
            identities.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError:
            raise ValueError(f"line {number} is not an age private key") from None
    return identities


def _read_ssh(text: str) -> object:
    import pyrage

    try:
        return pyrage.ssh.Identity.from_buffer(text.encode())
    except pyrage.IdentityError as error:
        if "decrypted" in str(error):
            raise ValueError("is protected by a passphrase, which reconcile cannot ask for") from None
        raise ValueError("is not an ssh key that age supports (ed25519, rsa)") from None
