"""reconcile-host: the one program that a login without root rights may run as root. Pure.

It is made of the same scripts that a root login runs, behind a guard (`verbs/head.sh`) that checks every argument and
all of stdin. The first line of a script, its signature, declares them:

    # SHAPE KIND KIND label(one|other) KIND…; stdin: WHAT. Prose, or : and prose

SHAPE is `plain` (stands alone), `change` (an action: prelude and look before it, the frame behind it), `look` or `end`,
or `root` (no verb: only a root login can run it). A script whose signature has an unknown word does not get a verb:
`unreachable_scripts` names it.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

from reconciler.dataclass import dataclass
from reconciler.model.machine import Layout
from reconciler.model.reserved import APP_NAMES, ENV_KEYS
from reconciler.tools.certificates import PEM_LINE
from reconciler.tools.digests import digest
from reconciler.tools.elixir import EPMD_UNIT, NODE_PORTS
from reconciler.tools.forms import decide_blocks, escape, form_of
from reconciler.tools.jobs import TIMER, job_template, starter_template, trial_env
from reconciler.tools.rendering import package_text
from reconciler.tools.script_text import CHANGING, LOOK_ALONE, LOOKING, join_scripts, own_text, strip_comments
from reconciler.tools.traefik import HTPASSWD_LINE

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

_DIGEST = "[0-9a-f]{12}"
_HOLD = r"127\.90\.[0-9]{1,3}\.[0-9]{1,3}:1"  # where visitors wait, see tools/holding.py
_PORT = "[1-9][0-9]{3,4}"
_JSON_TEXT = r'"([^"\]|\\["\])*"'
_UNIT_WORDS = {
    "app": "@APP@",
    "user": "@USER@",
    "digest": _DIGEST,
    "node": "[a-z0-9_]+_%i(@[0-9A-Za-z.-]+)?",
    "node_flags": r"-start_epmd false -kernel inet_dist_use_interface \{[0-9,]+\}"
    r"( inet_dist_listen_m(in|ax) [0-9]{4,5}){2}",
    "epmd_port": _PORT,
    "epmd_unit": escape(EPMD_UNIT),
    "distribution": "(none|sname|name)",
    "stop_seconds": "[1-9][0-9]{0,3}",
    "memory_max": "([1-9][0-9]{0,14}[KMGT]?|[1-9][0-9]?%|100%)",
    "cpu_max": "[1-9][0-9]{0,5}%",
    "port": f"([1-9][0-9]{{0,4}}|{NODE_PORTS[0]}-{NODE_PORTS[1]})",
    'sandbox.capabilities | join(" ")': "(CAP_[A-Z_0-9]+( CAP_[A-Z_0-9]+)*)?",
    'sandbox.extra_writable_paths | join(" ")': "/[A-Za-z0-9_.+@/-]+( /[A-Za-z0-9_.+@/-]+)*",
    'after | join(" ")': r"[A-Za-z0-9_.:@-]+( [A-Za-z0-9_.:@-]+)*",
    'writable_beside | join(" ")': "/[A-Za-z0-9_.+@/-]+( /[A-Za-z0-9_.+@/-]+)*",
}
_JOB_WORDS = {
    "app": "@APP@",
    "job": "@JOB@",
    "scope": "--system",
    "command": r'([] !#$&-[^-~]|\\("|\\|U[0-9a-f]{8})|%%)+',
    "at": "[A-Za-z0-9*~.,/:@_+-]+( +[A-Za-z0-9*~.,/:@_+-]+)*",
    "within_seconds": "[1-9][0-9]{1,5}",
    "give_up_seconds": "[1-9][0-9]{1,3}",
}
_TEXTS = rf"\[{_JSON_TEXT}(, {_JSON_TEXT})*\]"
_MAIN = rf'\{{"main": {_JSON_TEXT}\}}'
_PAIRS = rf"\{{{_JSON_TEXT}: {_JSON_TEXT}(, {_JSON_TEXT}: {_JSON_TEXT})*\}}"
_OCTET = "[0-9]{1,3}"
# The networks of private addresses: an edge names other machines, and none but those of its own network.
_PRIVATE = rf"(10\.{_OCTET}|172\.(1[6-9]|2[0-9]|3[01])|192\.168|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])|169\.254)"
_EDGE_SERVER = rf'\{{"url": "http://{_PRIVATE}\.{_OCTET}\.{_OCTET}:{_PORT}"\}}'
_CHECK = (
    rf'\{{"path": {_JSON_TEXT}, "interval": "[0-9]{{1,4}}s", "timeout": "[0-9]{{1,4}}s", "followRedirects": false'
    rf'(, "hostname": {_JSON_TEXT})?(, "headers": {_PAIRS})?\}}'
)
_STICKY = rf'\{{"cookie": \{{"name": {_JSON_TEXT}, "httpOnly": true, "secure": (true|false), "sameSite": "lax"\}}\}}'
# The lines that a router, a middleware or a service may have. None can name a file of the host or another machine.
_ROUTE_LINES = (
    rf"rule: {_JSON_TEXT}",
    r'entryPoints: \["[A-Za-z0-9][A-Za-z0-9_-]*"\]',
    rf"middlewares: {_TEXTS}",
    'service: "@APP@"',
    "priority: -?[0-9]{1,6}",
    r'tls: \{("passthrough": true)?\}',
    rf'tls: \{{"certResolver": {_JSON_TEXT}(, "domains": \[{_MAIN}(, {_MAIN})*\])?\}}',
    rf'ipAllowList: \{{"sourceRange": {_TEXTS}(, "ipStrategy": \{{"excludedIPs": {_TEXTS}\}})?\}}',
    rf'basicAuth: \{{"realm": {_JSON_TEXT}, "usersFile": "@HTPASSWD@"(, "removeHeader": true)?\}}',
    rf'headers: \{{"custom(Request|Response)Headers": {_PAIRS}(, "customResponseHeaders": {_PAIRS})?\}}',
    rf'compress: \{{"encodings": {_TEXTS}\}}',
    rf'stripPrefix: \{{"prefixes": {_TEXTS}\}}',
    r'retry: \{"attempts": [0-9]{1,3}, "initialInterval": "[0-9]{1,5}ms"\}',
    rf'redirectRegex: \{{"regex": {_JSON_TEXT}, "replacement": {_JSON_TEXT}, "permanent": true\}}',
    rf'loadBalancer: \{{"servers": \[\{{"(url": "(http|h2c)://|address": ")(127\.0\.0\.1:{_PORT}|{_HOLD})"\}}\]\}}',
    rf'loadBalancer: \{{"servers": \[{_EDGE_SERVER}(, {_EDGE_SERVER})*\]'
    rf'(, "healthCheck": {_CHECK}(, "sticky": {_STICKY})?)?\}}',
)
_ROUTE_WORDS = {
    "app": "@APP@",
    "slot": f"({_PORT}|edge)",
    # No count: grep builds a machine of a gigabyte for thousands of repetitions. The length of stdin is limited.
    "servers": "[A-Za-z0-9._:,-]+",
    "digest": _DIGEST,
    "attempt": "[0-9]{1,15}",
    "part": _DIGEST,
    "name": "[ -~]{1,300}",
    "kind": "(http|tcp)",
    "name | tojson": '"@APP@([.-][A-Za-z0-9_.-]+)?"',
    "certificates | tojson": r'\[\{"certFile": "@CERTIFICATE@", "keyFile": "@CERTIFICATE@"\}\]',
    "line": f"({'|'.join(_ROUTE_LINES)})",
}


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
    return digest([_HEAD, strip_comments(_body()), *_forms(Layout().model_dump()).values()])


def verb_file(layout: Layout, *, comments: bool = False) -> str:
    """Return the text of reconcile-host for a host with these folders. With comments, it is the text to be checked."""
    folders = layout.model_dump()
    constants = {name: folders[key] for key, name in _FOLDERS.items()} | _forms(folders)
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in constants.items())
    body = _body() if comments else strip_comments(_body())
    return f"{_HEAD}DIGEST={verbs_digest()}\n{lines}{body}"


def sudoers_text(user: str) -> str:
    """Return the sudoers line that lets this user run reconcile-host as root, and nothing else."""
    return f"{user} ALL=(root) NOPASSWD: {PROGRAM}\n"


def _forms(folders: dict[str, str]) -> dict[str, str]:
    """Return the form (a regular expression) of each file that reconcile-host writes for another program."""
    return {
        "UNIT_FORM": _unit_form(folders, proxy=False),
        "PROXY_FORM": _unit_form(folders, proxy=True),
        **_job_forms(folders),
        "ROUTE_FORM": _route_form(folders["traefik"]),
        "EPMD_FORM": _epmd_form(folders["releases"]),
        "DEFAULT_FORM": escape(package_text("templates/traefik-default.yml")),
    }


def _epmd_form(releases: str) -> str:
    words = {"port": _PORT, "address": r"[0-9.]{7,15}", "program": escape(f"{releases}/reconcile-epmd/epmd")}
    return form_of(package_text("templates/reconcile-epmd.service.j2"), words)


def _unit_form(folders: dict[str, str], *, proxy: bool) -> str:
    words = _UNIT_WORDS | {f"layout.{key}": escape(path) for key, path in folders.items()}
    return form_of(decide_blocks(package_text("templates/app@.service.j2"), proxy=proxy), words)


def _job_forms(folders: dict[str, str]) -> dict[str, str]:
    words = _UNIT_WORDS | _JOB_WORDS | {f"layout.{key}": escape(path) for key, path in folders.items()}
    words["trial_env"] = escape(trial_env("system", folders))
    return {
        "JOB_FORM": form_of(job_template("system"), words),
        "STARTER_FORM": form_of(starter_template(), words),
        "TIMER_FORM": form_of(package_text(TIMER), words),
    }


def _route_form(folder: str) -> str:
    text = package_text("templates/route.yml.j2")
    form = form_of(text.replace("{{ key }}: {{ value | tojson }}", "{{ line }}"), _ROUTE_WORDS)
    form = form.replace("@HTPASSWD@", f"{escape(folder)}/@APP@\\.htpasswd")
    form = form.replace("@CERTIFICATE@", f"{escape(folder)}/@APP@\\.pem")
    return form + f"(({HTPASSWD_LINE.pattern}\n)+# end\n)?(({PEM_LINE}\n)+# end\n)?"


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
