"""The files that a bootstrap writes on a host, and the scripts that write them. Pure."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.machine import Layout
from reconciler.provision.survey import DEPLOY_USER
from reconciler.tools.host_program import PROGRAM, SUDOERS, sudoers_text, verb_file

NEEDRESTART = "/etc/needrestart/conf.d/reconcile.conf"
JOURNALD = "/etc/systemd/journald.conf.d/10-reconcile.conf"
# A controller's key may run commands and connect to ports of the host itself.
KEY_OPTIONS = 'restrict,pty,port-forwarding,permitopen="127.0.0.1:*",permitopen="localhost:*"'

NEEDRESTART_TEXT = """\
# Written by reconcile bootstrap. An upgrade of a library must not restart apps: reconcile swaps them without an outage.
$nrconf{override_rc}{qr(^[a-z][a-z0-9_-]*\\@(worker|[0-9]+)\\.service$)} = 0;
"""
JOURNALD_TEXT = """\
# Written by reconcile bootstrap: the journal must not fill a small disk.
[Journal]
SystemMaxUse=200M
SystemKeepFree=1G
"""


@dataclass(frozen=True)
class Files:
    """The files that reconcile owns on a bootstrapped host, by path."""

    layout: Layout
    texts: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, layout: Layout) -> Files:
        texts = {PROGRAM: verb_file(layout), SUDOERS: sudoers_text(DEPLOY_USER)}
        return cls(layout, texts | {NEEDRESTART: NEEDRESTART_TEXT, JOURNALD: JOURNALD_TEXT})

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.texts[path].encode()).hexdigest()


@dataclass(frozen=True)
class Script:
    """One change: a constant script with its arguments, and its stdin: a tar of `files`, or `text`."""

    name: str
    arguments: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)

    @property
    def script(self) -> str:
        return (Path(__file__).parent / "scripts" / f"{self.name}.sh").read_text(encoding="utf-8")


def key_line(public_key: str, opens: tuple[str, ...] = ()) -> str:
    """Return the line of authorized_keys for a controller's public key, which may also connect to these places."""
    return ",".join((KEY_OPTIONS, *(f'permitopen="{place}"' for place in opens))) + f" {public_key}"


def shell_text(scripts: list[Script]) -> str:
    """Return the scripts of a bootstrap as one shell script that root can read and run by hand."""
    parts = ["#!/bin/sh\nset -e\n"]
    for script in scripts:
        words = shlex.join(["sh", "-c", script.script, script.name, *script.arguments])
        if script.files:
            parts.append('stage=$(mktemp -d)\nchmod 0700 "$stage"\n')
            parts += [f"cat >\"$stage/{name}\" <<'RECONCILE'\n{text}RECONCILE\n" for name, text in script.files.items()]
            parts.append(f'tar -cf - -C "$stage" {" ".join(script.files)} | {words}\nrm -rf "$stage"\n')
        elif script.text:
            parts.append(f"{words} <<'RECONCILE'\n{script.text}RECONCILE\n")
        else:
            parts.append(f"{words} </dev/null\n")
    return "".join(parts)
