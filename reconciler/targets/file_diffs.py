"""What differs between two versions of an app's files: unit, route, jobs and env, as a unified diff. Pure.

Of a variable only its name and a digest of its value are shown, of a secret only its name: a short value could be found
by trying. Comments and what only reconcile reads (digests, markers, password hashes) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff

from reconciler.model.secret import SecretRef
from reconciler.targets.resolve import TargetFiles
from reconciler.tools.digests import digest

MOST_LINES = 300  # of one app
CONTEXT = 2
Texts = Mapping[str, str]
"""The text of each file by its name."""

_MARKER = re.compile(r"(-route-[a-z0-9]+)-[0-9a-f]{12}(-[0-9]+)?")
_USERS = re.compile(r'"users": \[[^\]]*\]')
_HASHES = re.compile(r"\$2[aby]\$[^\s\"',]*")


def texts_of(files: TargetFiles, sealed: Mapping[str, str]) -> dict[str, str]:
    """The files of this target. `sealed` has the digest of the ciphertext of each secret, as far as it is known."""
    app = files.target.app
    texts = {unit_name(app): files.unit_text()} if files.unit else {}
    if files.route:
        texts[route_name(app)] = files.route_text(files.target.slots[0])
    texts |= files.job_files()
    return {name: readable(text) for name, text in texts.items()} | {env_name(app): _env_text(files, sealed)}


def unit_name(app: str) -> str:
    return f"{app}@.service"


def route_name(app: str) -> str:
    return f"{app}.yml"


def env_name(app: str) -> str:
    return f"{app}.env (names only)"


def readable(text: str) -> str:
    """The lines of a unit or a route that mean something to systemd or Traefik, without hashes of passwords."""
    text = _HASHES.sub("…", _USERS.sub('"users": […]', text.partition("\n# end\n")[0]))
    lines = (_MARKER.sub(r"\1", line) for line in text.split("\n"))
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _env_text(files: TargetFiles, sealed: Mapping[str, str]) -> str:
    """A line for each variable. RECONCILE_START, the start command, is one of them."""
    written = files.app.env if files.app else {}
    lines = []
    for key, value in sorted(files.variables.items()):
        named = written.get(key)
        if isinstance(named, SecretRef):
            cipher = sealed.get(named.secret, "")
            lines.append(f"{key}=secret {named.secret}" + (f" (encrypted, {cipher[:8]})" if cipher else ""))
        else:
            lines.append(f"{key}={digest(value)[:8]}")
    return "".join(f"{line}\n" for line in lines)


def diff(old: Texts, new: Texts) -> list[str]:
    """Return the lines of a unified diff of the files that both have, bounded, with a last line that says so."""
    lines: list[str] = []
    for name in sorted(old.keys() & new.keys()):
        lines += unified_diff(old[name].splitlines(), new[name].splitlines(), name, name, n=CONTEXT, lineterm="")
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"… and {more} more lines"]


def by_host(diffs: Iterable[tuple[str, str, Sequence[str]]]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Join (app, host, lines) that have the same lines into (app, hosts, lines)."""
    joined: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for app, host, lines in diffs:
        if lines:
            joined.setdefault((app, tuple(lines)), []).append(host)
    return [(app, tuple(hosts), lines) for (app, lines), hosts in joined.items()]
