"""`reconcile secrets`: set, edit and rekey encrypted secrets of the desired state; report what is missing or stale."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
from dataclasses import asdict

from reconciler.desired_state.files import RECIPIENTS, SECRETS
from reconciler.desired_state.load import label
from reconciler.desired_state.origin import origin_of
from reconciler.engine.report import table
from reconciler.errors import UsageError
from reconciler.model.options import Options
from reconciler.model.references import references
from reconciler.secrets.audit import Row, audit
from reconciler.secrets.editor import edit
from reconciler.secrets.vault import Vault, strip_line_end
from reconciler.secrets.writing import Store, open_store, recipients_of


def run(options: Options) -> int:
    """Return 0 on success. `check` returns 1 unless every secret in use can be read and has the right recipients."""
    if options.verb in ("check", "list"):
        return asyncio.run(_audit(options))
    if options.repo or options.ref:
        raise UsageError(
            f"secrets {options.verb} changes local files", "leave out --repo and --ref, and commit the files"
        )
    store = open_store(options.desired_state, label(options.desired_state))
    return {"set": _set, "edit": _edit, "rekey": _rekey}[options.verb](store, options)


def _set(store: Store, options: Options) -> int:
    store.refuse_name(options.secret_name)
    store.recipients()  # refuse a broken list before the operator types a value
    if sys.stdin.isatty():
        value = getpass.getpass(f"value of {options.secret_name} (not shown): ").encode()
        if getpass.getpass("repeat it: ").encode() != value:
            raise UsageError("the two values differ", "nothing was changed")
    else:
        value = strip_line_end(sys.stdin.buffer.read())
    return _print_files(options, store, [store.set(options.secret_name, value)])


def _edit(store: Store, options: Options) -> int:
    store.refuse_name(options.secret_name)
    store.recipients()
    before = store.value(options.secret_name)
    after = _restore_last_line_end(edit(before or b"", options.secret_name, os.environ), before or b"")
    if after == (before or b""):
        print(f"{options.secret_name} was not changed")
        return 0
    return _print_files(options, store, [store.set(options.secret_name, after)])


def _restore_last_line_end(after: bytes, before: bytes) -> bytes:
    """Return `after` with the last line ended as in `before`: editors always end it."""
    if b"\n" not in before:
        return strip_line_end(after)
    return after if before.endswith(b"\n") else after.removesuffix(b"\n")


def _rekey(store: Store, options: Options) -> int:
    return _print_files(options, store, store.rekey())


def _print_files(options: Options, store: Store, files: list[str]) -> int:
    readers = [str(recipient) for recipient in store.recipients()]
    if options.json:
        print(json.dumps({"files": files, "readers": readers}, indent=2, ensure_ascii=False))
    else:
        for file in files:
            print(f"{file}: for {', '.join(readers)}")
        print(f"next: git add {store.label}/{SECRETS} && git commit" if files else "there is no age file to encrypt")
    if store.is_locked_out():
        print(
            "note: none of the recipients' private keys is on this machine, so it cannot read these files",
            file=sys.stderr,
        )
    return 0


async def _audit(options: Options) -> int:
    desired = await origin_of(options).read(valid_only=True)
    for note in (*map(str, desired.invalid), *desired.notes):
        print(note, file=sys.stderr)
    named = [reference for reference in references(desired) if not options.app or reference.user in options.app]
    vault = Vault(desired.secret_files)
    listed = recipients_of(desired.secret_files, f"{SECRETS}/{RECIPIENTS}")
    recipients = listed.recipients
    rows = await audit(
        vault, named, recipients, whole=not options.app and not desired.invalid, opens=options.verb == "check"
    )
    wrong = options.verb == "check" and any(row.wrong for row in rows)
    if options.json:
        report = {"ok": not wrong, "recipients": [asdict(recipient) for recipient in recipients]}
        print(json.dumps(report | {"secrets": [asdict(row) for row in rows]}, indent=2, ensure_ascii=False))
    else:
        print(_text(rows), end="")
    notes = [str(error) for error in listed.errors]
    if options.verb == "check":
        notes += vault.keys.troubles
        notes += [f"the private key in {place} can be read by others; chmod 600" for place in vault.keys.open_to_others]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 1 if wrong else 0


def _text(rows: list[Row]) -> str:
    if not rows:
        return "the desired state uses no secrets and contains none\n"
    head = ["secret", "state", "where", "named by", "who can read it"]
    cells = [
        [row.name, row.state, row.where or "-", ", ".join(row.used_by) or "-", ", ".join(row.readers) or "-"]
        for row in rows
    ]
    explanations = "".join(
        f"{row.name}: {row.reason}\n" + (f"  next: {row.next_step}\n" if row.next_step else "")
        for row in rows
        if row.wrong
    )
    return table([head, *cells]) + explanations
