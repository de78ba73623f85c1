"""What differs between two versions of an app's files: unit, route, jobs and env, as a unified diff. Pure.

Of a variable only its name and a digest of its value are shown, of a secret only its name: a short value could be found
by trying. Comments and what only reconcile reads (digests, markers, password hashes) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff

from reconciler.model.observed import Slot
from reconciler.model.secret import SecretRef
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.digests import digest

MOST_LINES = 300  # of one app
CONTEXT = 2
Texts = Mapping[str, str]
"""The text of each file by its name."""
Diff = tuple[str, tuple[str, ...], tuple[str, ...]]
"""An app, the hosts on which its files differ alike, and the lines of the diff."""

_MARKER = re.compile(r"(-route-[a-z0-9]+)-[0-9a-f]{12}(-[0-9]+)?")
_USERS = re.compile(r'"users": \[[^\]]*\]')
_VARIABLE = re.compile(r"^( *Environment *= *\"?[A-Za-z_][A-Za-z0-9_]*)=.*")
_HASHES = re.compile(r"\$2[aby]\$[^\s\"',]*")


def texts_of(files: TargetFiles, sealed: Mapping[str, str]) -> dict[str, str]:
    """The files of this target. `sealed` has the digest of the ciphertext of each secret, as far as it is known."""
    app = files.target.app
    texts = {unit_name(app): files.unit_text()} if files.unit else {}
    if files.route:
        texts[route_name(app)] = _route_text(files, files.target.slots[0])
    texts |= files.job_files()
    return {name: readable(text) for name, text in texts.items()} | {env_name(app): _env_text(files, sealed)}


def texts_of_both(files: TargetFiles, slot: Slot, unit: str, route: str) -> tuple[Texts, Texts]:
    """The files as they are on the host, with the texts that were read there, and as they should be."""
    target = files.target
    name = slot.name if slot.name in target.slots else target.slots[0]
    wanted = {unit_name(target.app): ""}
    if files.unit:
        wanted[unit_name(target.app)] = files.unit_text()
    if files.route:
        wanted[route_name(target.app)] = _route_text(files, name)
    unit = _without_values(unit, wanted[unit_name(target.app)])
    before, after = _env_lines(files, slot)
    found = {unit_name(target.app): unit, route_name(target.app): route}
    ours = frozenset(line for text in wanted.values() for line in text.split("\n"))
    old = {name: files.mask(readable(text, ours)) for name, text in found.items()} | {env_name(target.app): before}
    new = {name: readable(text) for name, text in wanted.items()} | {env_name(target.app): after}
    return old, new


def _without_values(unit: str, ours: str) -> str:
    """The unit without the values of variables that somebody wrote into it on the host."""
    own = {*ours.split("\n")}
    return "\n".join(line if line in own else _VARIABLE.sub(r"\1=…", line) for line in unit.split("\n"))


def _env_lines(files: TargetFiles, slot: Slot) -> tuple[str, str]:
    """The variables of the slot, and those that are desired. A former value has no digest: it may be a secret's."""
    old, new = dict(slot.env_keys), dict(files.target.env_keys)
    written = files.app.env if files.app else {}
    secrets = {key: value.secret for key, value in written.items() if isinstance(value, SecretRef)}
    before = {key: _env_line(key, value, secrets, new) for key, value in old.items()}
    after = {key: f"{key}=secret {secrets[key]}" if key in secrets else f"{key}={new[key][:8]}" for key in new}
    return _joined(before), _joined(after)


def _joined(lines: Mapping[str, str]) -> str:
    return "".join(f"{lines[key]}\n" for key in sorted(lines))


def _env_line(key: str, value: str, secrets: Mapping[str, str], new: Mapping[str, str]) -> str:
    if key not in new:
        return key
    if new[key] != value:
        return f"{key}=another value"
    return f"{key}=secret {secrets[key]}" if key in secrets else f"{key}={value[:8]}"


def unit_name(app: str) -> str:
    return f"{app}@.service"


def route_name(app: str) -> str:
    return f"{app}.yml"


def env_name(app: str) -> str:
    return f"{app}.env (names only)"


def _route_text(files: TargetFiles, slot: str) -> str:
    """The route without the hashes of passwords that are sent behind its end."""
    return files.route_text(slot).partition("\n# end\n")[0] + "\n# end\n"


def readable(text: str, ours: frozenset[str] | None = None) -> str:
    """The lines of a unit or a route that mean something to systemd or Traefik, without hashes of passwords.

    Comments are left out; with `ours`, the lines of our own text, only those that are in it or in every head.
    """
    text = _HASHES.sub("…", _USERS.sub('"users": […]', text))
    kept = [line for line in text.split("\n") if line.strip() and not _is_our_comment(line, ours)]
    return "".join(_MARKER.sub(r"\1", line) + "\n" for line in kept)


def _is_our_comment(line: str, ours: frozenset[str] | None) -> bool:
    comment = line.lstrip().startswith("#")
    return comment and (ours is None or line in ours or line.startswith(("# reconcile ", "# part ")))


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


def by_host(diffs: Iterable[tuple[str, str, Sequence[str]]]) -> list[Diff]:
    """Join (app, host, lines) that have the same lines into (app, hosts, lines)."""
    joined: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for app, host, lines in diffs:
        if lines:
            joined.setdefault((app, tuple(lines)), []).append(host)
    return [(app, tuple(hosts), lines) for (app, lines), hosts in joined.items()]
