"""Writes for `reconcile secrets`: age files in the folder `secrets/` on disk, which the operator then commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import PydanticCustomError

from reconciler.desired_state.files import RECIPIENTS, SECRETS, FolderTree, collect_secrets, secret_files
from reconciler.errors import InvalidDesiredState, SecretError, SecretRefused, UsageError
from reconciler.files import write_whole
from reconciler.model.values import SECRET_NAME, env_text
from reconciler.secrets.sealed import Recipient, RecipientList, read_recipients, seal, unseal
from reconciler.secrets.vault import Vault


@dataclass(frozen=True)
class Store:
    """The desired-state folder on disk. `label` is its path as the operator typed it."""

    folder: Path
    label: str
    files: Mapping[str, bytes]

    @property
    def vault(self) -> Vault:
        return Vault(self.files)

    def shown_path(self, path: str) -> str:
        return f"{self.label}/{SECRETS}/{path}"

    def recipients(self) -> tuple[Recipient, ...]:
        """Return the recipients of every secret here. Raises UsageError if there are none, or one that is not usable.

        A value that not everybody in the list could read would look like one that they can.
        """
        file = self.shown_path(RECIPIENTS)
        found = recipients_of(self.files, file).all_or_refuse()
        if not found:
            make = "" if (self.folder / SECRETS).is_dir() else f"mkdir {self.label}/{SECRETS}, then "
            keys = f"cat ~/.ssh/id_ed25519.pub >>{file}, or age-keygen -y YOUR-KEYS >>{file}"
            next_step = f"{make}{keys}; one line per recipient"
            raise UsageError(f"{file} lists no recipient", next_step)
        return found

    def value(self, name: str) -> bytes | None:
        """Return the value in the age file of that name; None if there is no file. Raises SecretRefused."""
        path = f"{name}.age"
        return unseal(self.files[path], self.vault.keys, self.shown_path(path)) if path in self.files else None

    def set(self, name: str, value: bytes) -> str:
        """Encrypt a value for the current recipients and write it. Return the file's path for messages.

        Raises UsageError before anything is written.
        """
        self.refuse_name(name)
        _refuse_value(value)
        path = f"{name}.age"
        content = seal(value, self.recipients())
        _write(self.folder / SECRETS / path, content)
        return self.shown_path(path)

    def refuse_name(self, name: str) -> None:
        """Raise UsageError if an age file cannot have this name, or a SOPS file already has this secret."""
        try:
            SECRET_NAME.read(name)
        except PydanticCustomError as error:
            raise UsageError(f"{name!r} {error.message()}", "write it like my_app/secret_key_base") from None
        place = self.vault.sops_place(name)
        if place and f"{name}.age" not in self.files:
            file = self.shown_path(place.path)
            raise UsageError(f"{name} is in the SOPS file {file}", f"change it there: sops {file}")

    def rekey(self) -> list[str]:
        """Encrypt every age file again for the current recipients. Return the files' paths for messages.

        All files are opened before the first is written. Raises UsageError or SecretRefused.
        """
        recipients, keys = self.recipients(), self.vault.keys
        contents, troubles = {}, []
        for path in sorted(path for path in self.files if path.endswith(".age")):
            try:
                contents[path] = seal(unseal(self.files[path], keys, self.shown_path(path)), recipients)
            except SecretRefused as error:
                troubles.append(error)
        if troubles:
            reasons = "\n".join(str(error) for error in troubles)
            raise SecretRefused(f"{reasons}\nnothing was changed", troubles[0].next_step)
        for path, content in contents.items():
            _write(self.folder / SECRETS / path, content)
        return [self.shown_path(path) for path in contents]

    def is_locked_out(self) -> bool:
        """True if no private key here could open a file encrypted for the current recipients."""
        try:
            unseal(seal(b"", self.recipients()), self.vault.keys, "")
        except SecretError:
            return True
        return False


def open_store(folder: Path, label: str) -> Store:
    """Open the desired-state folder. Raises UsageError if it does not exist, InvalidDesiredState if it is not valid."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {label}", "name another with --desired-state")
    written = collect_secrets(FolderTree(folder), label)
    if written.problems:
        raise InvalidDesiredState(written.problems)
    return Store(folder, label, secret_files(written))


def recipients_of(files: Mapping[str, bytes], file: str) -> RecipientList:
    """Read the recipients file; it has none if there is no file. Raises UsageError for a private key in it."""
    return read_recipients(files.get(RECIPIENTS, b""), file)


def _refuse_value(value: bytes) -> None:
    if not value:
        raise UsageError("the value is empty", "an empty variable does not need a secret")
    try:
        env_text(value.decode())
    except UnicodeDecodeError:
        raise UsageError("the value is not UTF-8 text", "encode it, for example with base64") from None
    except PydanticCustomError as error:
        raise UsageError(f"the value {error.message()}", str((error.context or {}).get("next_step", ""))) from None


def _write(path: Path, content: bytes) -> None:
    """Replace the file in one rename. Its content is already encrypted."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "check its permissions") from error
