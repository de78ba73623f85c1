"""What is to be said of every secret: who names it, where it is, who can read it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.desired_state.files import SECRETS
from reconciler.errors import ReconcileError, SecretError, SecretMissing
from reconciler.model.references import Reference
from reconciler.secrets import command
from reconciler.secrets.sealed import Readers, Recipient, readers_of
from reconciler.secrets.vault import SOPS_SUFFIXES, Vault, stem_of, variable_name

State = Literal["ok", "missing", "refused", "stale", "unused"]


@dataclass(frozen=True)
class Row:
    """One secret. `where` is "" when nothing has it."""

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
    """A row for each secret that is named, and, with `whole`, for each that is there and is not. Sorted by name.

    Without `opens` no private key and no command is used: then a state says only what can be seen from outside.
    """
    users: dict[str, tuple[str, ...]] = {}
    for each in references:
        users[each.name] = (*users.get(each.name, ()), f"{each.user} {each.key}")
    answer = await vault.read_all(users) if opens else None
    stored, broken = _stored_names(vault) if whole else (set(), {})
    rows = []
    for name in sorted({*users, *stored}):
        row = _unopened_row(vault, name, recipients)
        if name not in users:
            row = row if row.wrong else replace(row, state="unused", reason="nothing names it")
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
    """The names of all secrets in the files, and the SOPS files that give no names, with the reason."""
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
    """What can be told without opening anything."""
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
    called = _names_of(readers.listed, recipients) or (f"{readers.keys} keys",)
    why = readers.difference_from(recipients)
    if not why:
        return Row(name, "ok", f"{SECRETS}/{path}", readers=called)
    next_step = "reconcile secrets rekey; whoever must not read it any more has read it: set a new value, too"
    return Row(name, "stale", f"{SECRETS}/{path}", readers=called, reason=why, next_step=next_step)


def _row_outside_files(vault: Vault, name: str) -> Row:
    if words := command.command_of(vault.environ):
        return Row(name, "ok", f"command {words[0]}", readers=(f"who may run {words[0]} here",))
    if variable_name(name) in vault.environ:
        return Row(name, "ok", "environment", readers=("who runs reconcile here",))
    return Row(name, "missing", "", reason=f"the secret {name} is not known", next_step=f"reconcile secrets set {name}")


def _names_of(listed: Sequence[Recipient], recipients: Sequence[Recipient]) -> tuple[str, ...]:
    """People's names, as the recipients file has them now."""
    names = {each.key: each for each in recipients}
    return tuple(str(names.get(each.key, each)) for each in listed)
