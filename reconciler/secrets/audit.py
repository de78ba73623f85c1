"""The report on every secret: what uses it, where it is, who can read it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.desired_state.files import SECRETS
from reconciler.errors import ReconcileError, SecretError, SecretMissing
from reconciler.model.references import Reference
from reconciler.secrets import command
from reconciler.secrets.sealed import Readers, Recipient, damaged, readers_of
from reconciler.secrets.vault import SOPS_SUFFIXES, Vault, stem_of, variable_name

State = Literal["ok", "missing", "refused", "stale", "unused"]


@dataclass(frozen=True)
class Row:
    """One secret. `where` is "" if it was not found."""

    name: str
    state: State
    where: str
    used_by: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    reason: str = ""
    next_step: str = ""

    @property
    def wrong(self) -> bool:
        return self.state in ("missing", "refused", "stale")


async def audit(
    vault: Vault, references: Sequence[Reference], recipients: Sequence[Recipient], *, whole: bool, opens: bool = True
) -> list[Row]:
    """Return a row for each secret in use; with `whole`, also for each stored one that is not. Sorted by name.

    Without `opens`, no private key and no command is used: `state` then shows only what the files reveal.
    """
    users: dict[str, tuple[str, ...]] = {}
    for reference in references:
        users[reference.name] = (*users.get(reference.name, ()), f"{reference.user} {reference.key}")
    answer = await vault.read_all(users) if opens else None
    stored, broken = _stored_names(vault) if whole else (set(), {})
    rows = []
    for name in sorted({*users, *stored}):
        row = _unopened_row(vault, name, recipients)
        if name not in users:
            row = row if row.wrong else replace(row, state="unused", reason="nothing uses it")
        elif answer is not None:
            row = _try_to_open(row, answer)
        rows.append(replace(row, used_by=users.get(name, ())))
    return rows + [_refused_row(file, file, error) for file, error in sorted(broken.items())]


def _try_to_open(row: Row, answer: Callable[[str], str]) -> Row:
    try:
        answer(row.name)
    except SecretMissing as error:
        return replace(row, state="missing", reason=str(error), next_step=error.next_step)
    except ReconcileError as error:
        return replace(row, state="refused", reason=str(error), next_step=error.next_step)
    return row


def _stored_names(vault: Vault) -> tuple[set[str], dict[str, SecretError]]:
    """Return the names of all secrets in the files, and the SOPS files that cannot be read, each with its error."""
    names = {path.removesuffix(".age") for path in vault.files if path.endswith(".age")}
    broken = {}
    for path in vault.files:
        if path.endswith(SOPS_SUFFIXES):
            try:
                names |= {"/".join((stem_of(path), *keys)) for keys in vault.sops_file(path).names}
            except SecretError as error:
                broken[f"{SECRETS}/{path}"] = error
    return names, broken


def _refused_row(name: str, where: str, error: SecretError) -> Row:
    return Row(name, "refused", where, reason=str(error), next_step=error.next_step)


def _unopened_row(vault: Vault, name: str, recipients: Sequence[Recipient]) -> Row:
    """Return what the files reveal without being opened."""
    if path := vault.age_file(name):
        return _age_row(name, path, readers_of(vault.files[path]), recipients)
    try:
        place = vault.sops_place(name)
    except SecretError as error:
        return _refused_row(name, SECRETS, error)
    if place is None:
        return _row_outside_files(vault, name)
    listed = _names_of(vault.sops_file(place.path).recipients, recipients)
    return Row(name, "ok", f"{SECRETS}/{place.path}", readers=listed)


def _age_row(name: str, path: str, readers: Readers, recipients: Sequence[Recipient]) -> Row:
    if readers.keys is None:
        return _refused_row(name, f"{SECRETS}/{path}", damaged(f"{SECRETS}/{path}"))
    names = _names_of(readers.listed, recipients) or (f"{readers.keys} keys",)
    difference = readers.difference_from(recipients)
    if not difference:
        return Row(name, "ok", f"{SECRETS}/{path}", readers=names)
    next_step = "reconcile secrets rekey; a removed recipient may know the value, so set a new one, too"
    return Row(name, "stale", f"{SECRETS}/{path}", readers=names, reason=difference, next_step=next_step)


def _row_outside_files(vault: Vault, name: str) -> Row:
    if words := command.command_of(vault.environ):
        return Row(name, "ok", f"command {words[0]}", readers=(f"users who may run {words[0]} here",))
    if variable_name(name) in vault.environ:
        return Row(name, "ok", "environment", readers=("the user who runs reconcile here",))
    return Row(name, "missing", "", reason=f"the secret {name} is not known", next_step=f"reconcile secrets set {name}")


def _names_of(listed: Sequence[Recipient], recipients: Sequence[Recipient]) -> tuple[str, ...]:
    """Return the names of these recipients, as they are in the recipients file now."""
    named = {recipient.key: recipient for recipient in recipients}
    return tuple(str(named.get(recipient.key, recipient)) for recipient in listed)
