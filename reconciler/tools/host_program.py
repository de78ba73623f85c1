"""reconcile-host: the one program that a login without root rights may run as root. Pure.

It is made of the same scripts that a root login runs, behind a guard that checks every argument
(`verbs/head.sh`) and all of stdin (`verbs/stdin.sh`). The first line of a script, its signature, declares them:

    # SHAPE KIND KIND label(one|other) KIND…; stdin: WHAT. Prose, or : and prose

SHAPE is `plain` (stands alone), `change` (an action: prelude and look before it, the frame behind it), `look` or `end`,
or `root` (no verb: only a root login can run it). A script whose signature has an unknown word does not get a verb:
`unreachable_scripts` names it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.model.machine import Layout
from reconciler.model.reserved import APP_NAMES, ENV_KEYS
from reconciler.tools.digests import digest
from reconciler.tools.file_forms import file_forms
from reconciler.tools.rendering import package_text
from reconciler.tools.script_text import CHANGING, LOOK_ALONE, LOOKING, join_scripts, own_text, strip_comments

PROGRAM = "/usr/local/sbin/reconcile-host"
SUDOERS = "/etc/sudoers.d/reconcile"
# The capabilities that do not make an app root: low ports, and memory that is not swapped out.
CAPABILITIES = "CAP_NET_BIND_SERVICE CAP_IPC_LOCK"
PARTS = (
    "system",
    *LOOKING[:-1],
    *CHANGING,
    "release",
    "held",
    "delta",
    "sandbox",
    "once",
    "change",
)  # shared parts of scripts, not verbs
OF_A_USER = ("user", "lingers", "exec_user", "logs_user")  # for scope user, which does not need root

_SIGNATURE = re.compile(r"# (plain|change|look|end|root)((?: [^ :;.]+)*)(?:; stdin: ([a-z, ]+))?(?:[:.].*)?")
_FOLDERS = {"releases": "RELEASES", "env": "ENV", "units": "UNITS", "state": "STATE", "traefik": "ROUTES"}
_KINDS = {
    **{kind: kind for kind in ("slot", "release", "name", "invocation", "identity", "word", "node")},
    **dict.fromkeys(("seconds", "milliseconds", "restarts", "lines"), "number"),
    **dict.fromkeys(("bytes-of-manifest", "bytes-of-sums", "bytes-of-tree", "epmd-port"), "number"),
    **dict.fromkeys(("command", "zflags"), "text"),
    "job": "job",
    "no-job": "nothing",
    "no-delta": "nothing",
    "take-over": "nothing",  # only a root login takes over a Traefik that was set up by hand
    "node-root": "node_root",
    "program": "name",
    "needed-KiB+files": "room",
    "attempt": "token",
    "command-file": "token",
    "migrate-env": "digest",
    "any-app": "any_app",
    "sha256": "sha256",
    "top-folder": "top",
}
_STDIN = {"": "stdin_none", "upload": "stdin_upload", **dict.fromkeys(("terminal", "command"), "stdin_terminal")}
_STDIN |= {
    "reason": "stdin_reason",
    "route": "stdin_route",
    "digests": "stdin_digests",
    "slot files": "stdin_slot",
    "job files": "stdin_jobs",
}
_TAR_FILES = {"env", "unit", "command", "route", "reason", "history"}


class SignatureUnknown(ValueError):
    """The signature of a script is missing, or has a word that cannot be checked."""


@dataclass(frozen=True)
class Signature:
    """The shape of a script, the kinds of its own arguments, and its stdin."""

    shape: str
    words: tuple[str, ...]
    stdin: str


def read_signature(first_line: str) -> Signature:
    """Read the signature in the first line of a script. Raises SignatureUnknown."""
    found = _SIGNATURE.fullmatch(first_line)
    if not found:
        raise SignatureUnknown(f"not a signature: {first_line[:60]}")
    return Signature(found[1], tuple(found[2].split()), (found[3] or "").strip())


@cache
def verbs() -> dict[str, Signature]:
    """Return every script that has a verb, by name, in order: those whose signature is valid and not `root`."""
    found = {
        name: signature for name, signature in sorted(_all_signatures().items()) if isinstance(signature, Signature)
    }
    return {name: signature for name, signature in found.items() if signature.shape != "root"}


def unreachable_scripts() -> dict[str, str]:
    """Return the scripts whose signature is not valid, each with the reason: only a root login can run them."""
    return {name: reason for name, reason in sorted(_all_signatures().items()) if isinstance(reason, str)}


@cache
def _all_signatures() -> dict[str, Signature | str]:
    found: dict[str, Signature | str] = {}
    for path in sorted((Path(__file__).parent / "scripts").glob("*.sh")):
        if path.stem not in (*PARTS, *OF_A_USER):
            try:
                signature = read_signature(package_text(f"scripts/{path.name}").partition("\n")[0])
                if signature.shape != "root":
                    _guard(signature)
                found[path.stem] = signature
            except SignatureUnknown as error:
                found[path.stem] = str(error)
    return found


@cache
def verbs_digest() -> str:
    """Return the digest of all that reconcile-host is made from. Both sides must have the same one."""
    return digest([_HEAD, strip_comments(_body()), *file_forms(Layout().model_dump()).values()])


def verb_file(layout: Layout, *, comments: bool = False) -> str:
    """Return the text of reconcile-host for a host with these folders. With comments, it is the text to be checked."""
    folders = layout.model_dump()
    constants = {name: folders[key] for key, name in _FOLDERS.items()} | file_forms(folders)
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in constants.items())
    body = _body() if comments else strip_comments(_body())
    return f"{_HEAD}DIGEST={verbs_digest()}\n{lines}{body}"


def sudoers_text(user: str) -> str:
    """Return the sudoers line that lets this user run reconcile-host as root, and nothing else."""
    return f"{user} ALL=(root) NOPASSWD: {PROGRAM}\n"


# `env -i` drops the caller's environment.
_HEAD = """\
#!/usr/bin/env -S -i WAY=verb PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh
# Written by reconcile bootstrap, which also renews it. See docs/security.md of reconcile.
"""


@cache
def _body() -> str:
    """Return the program's text without its head, the host's own folders and the digest. It has comments."""
    names = {shape: [name for name, verb in verbs().items() if verb.shape == shape] for shape in ("plain", "change")}
    guards = "".join(_branch(name, _guard(signature)) for name, signature in verbs().items())
    plain = "".join(_branch(name, own_text(name)) for name in names["plain"])
    changes = "".join(_branch(name, own_text(name)) for name in names["change"])
    parts = (
        f"TAKEN_NAMES={shlex.quote(' '.join(sorted(APP_NAMES)))}\n",
        f"TAKEN_KEYS={shlex.quote(' '.join(sorted(ENV_KEYS)))}\n",
        f"CAPABILITIES={shlex.quote(CAPABILITIES)}\n",
        package_text("verbs/head.sh"),
        package_text("verbs/stdin.sh"),
        _DISPATCH,
        f"case $verb in\n{guards}*) refuse 'there is no such verb' ;;\nesac\n",
        _BEGIN,
        f"case $verb in\n{plain}*)\n{join_scripts('system', *LOOKING, *CHANGING)}case $verb in\n{changes}",
        f"look)\n{LOOK_ALONE};;\nfinish)\n{join_scripts('finish')};;\nesac\n",
        f"case $verb in look | finish) ;; *)\n{join_scripts('change')};;\nesac\n;;\nesac\n",
    )
    return "".join(parts)


_DISPATCH = """\
[ $# -ge 2 ] || refuse 'it takes a digest and a verb'
[ "$1" = "$DIGEST" ] || {
  echo "reconcile-host: it was made from scripts $DIGEST" >&2
  exit $OTHER
}
verb=$2
shift 2
"""
# From here on it is the script that ends, not the guard. host/entry.py reads the mark.
_BEGIN = """\
for of in 1 2; do
  [ -t $of ] || printf '\\036begun\\036' >&$of
done
"""


def _branch(name: str, text: str) -> str:
    return f"{name})\n{text};;\n"


def _guard(signature: Signature) -> str:
    """Return the lines of shell that check arguments and stdin. Raises SignatureUnknown for an unknown word."""
    lease = signature.shape != "plain"
    first = 1 + 11 * lease + (signature.shape == "change")
    lines = ['lease "$@"'] * lease + ['arg word "${12}"'] * (signature.shape == "change")
    last = len(signature.words) - 1
    for number, word in enumerate(signature.words):
        if word.endswith("…"):
            if number != last:
                raise SignatureUnknown(f"only the last argument may repeat: {word}")
            lines += [f'(shift {first + number - 1}; every {_kinds(word[:-1])} "$@") || exit $REFUSED']
        else:
            lines += _argument(word, f'"${{{first + number}}}"', signature.shape)
    more = signature.words[-1:] and signature.words[-1].endswith("…")
    total = first - 1 + len(signature.words)
    lines.insert(0, f"[ $# -ge {total - 1} ] || refuse 'too few arguments'" if more else f"count $# {total}")
    return "\n".join([*lines, _stdin(signature.stdin)]) + "\n"


def _argument(word: str, value: str, shape: str) -> list[str]:
    if found := re.fullmatch(r"[a-z-]+\(([a-z_]+(?:\|[a-z_]+)*)\)", word):
        return [f"choice {value} {found[1].replace('|', ' ')}"]
    if word in _FOLDERS:
        return [f'same "${_FOLDERS[word]}" {value}']
    if word == "app":
        return [f"arg {'own_app' if shape == 'change' else 'app'} {value}", f"app={value}"]
    return [f"arg {_kinds(word)} {value}"]


def _kinds(word: str) -> str:
    kinds = word.split("|")
    if unknown := [kind for kind in kinds if kind not in _KINDS]:
        raise SignatureUnknown(f"not a kind of argument: {unknown[0]}")
    return shlex.quote("|".join(_KINDS[kind] for kind in kinds))


def _stdin(what: str) -> str:
    files = what.removeprefix("tar of ").split(", ")
    if what.startswith("tar of ") and set(files) <= _TAR_FILES:
        return f"stdin_tar {' '.join(files)}"
    if what not in _STDIN:
        raise SignatureUnknown(f"not a kind of stdin: {what}")
    return _STDIN[what]
