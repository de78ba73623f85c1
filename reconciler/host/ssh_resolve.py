"""Asks OpenSSH how it would reach a host: `ssh -G`, which reads the configuration but does not connect."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import replace
from weakref import WeakKeyDictionary

from reconciler.errors import HostRefused
from reconciler.host.child import child_process
from reconciler.host.ssh_config import WITHOUT_EFFECT, Line, compose, read_narrowly, user_file
from reconciler.host.ssh_settings import Settings, settings_of
from reconciler.logs import log_detail
from reconciler.programs import is_missing
from reconciler.words import printable

SECONDS = 30  # on a busy machine, too; a condition `Match exec` runs a program of the user's
LARGEST_BYTES = 1024 * 1024
SAME_SECONDS = 1.0  # hosts that are resolved within this time share one reading of the configuration
AT_ONCE = 8  # processes, for a fleet of hundreds of hosts
_REFUSED_LINE = re.compile(r"(.+?):? line ([0-9]+): (.+)")
_NEVER = "Host reconcile.invalid"  # a block that applies to no host

_composed: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[float, list[Line]]] = WeakKeyDictionary()
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class _NoSsh(Exception):
    """There is no ssh here, or it does not run for this user. `str()` says why."""


class _Refused(Exception):
    """ssh refuses the configuration. `number` is the line of the composed text, or 0."""

    def __init__(self, reason: str, number: int) -> None:
        super().__init__(reason)
        self.number = number


async def resolve(
    name: str, address: str, user: str | None, port: int | None, *, usual_user: str | None = None
) -> Settings:
    """Return the settings that `ssh ADDRESS` has; `usual_user` is the user if none is configured.

    Raises HostRefused, which names file and line, if ssh refuses its configuration.
    """
    lines = _compose_once()
    if all(not line.keyword or line.keyword in WITHOUT_EFFECT for line in lines):
        return settings_of(address, port, {"user": [user or usual_user or ""]})
    try:
        found = await _ask_ssh(name, lines, address, user, port, usual_user)
    except _NoSsh as error:
        found, passed_over = read_narrowly(lines, address, user)
        found.setdefault("user", [usual_user or ""])
        for line in passed_over:
            _note_passed_over(name, line, f"its condition is for ssh to judge, but {error}")
    return settings_of(address, port, found)


def _compose_once() -> list[Line]:
    """Return the lines of the configuration as they were at most SAME_SECONDS ago."""
    loop = asyncio.get_running_loop()
    at, lines = _composed.get(loop, (-SAME_SECONDS, []))
    if loop.time() - at >= SAME_SECONDS:
        at, lines = loop.time(), compose()
        _composed[loop] = at, lines
    return lines


async def _ask_ssh(
    name: str, lines: list[Line], address: str, user: str | None, port: int | None, usual_user: str | None
) -> dict[str, list[str]]:
    """Run `ssh -G` until it takes the lines, passing over each Match block that this ssh is too old for."""
    words = ["ssh", "-G", *(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    for _ in range(len(lines)):
        try:
            return _read(await _run(name, [*words, "--", address], lines + _last_lines(usual_user)))
        except _Refused as refused:
            line = lines[refused.number - 1] if 0 < refused.number <= len(lines) else None
            if line is None or line.keyword != "match":
                place = f"{line.file}, line {line.number}: " if line else ""
                raise HostRefused(
                    name, f"ssh refuses its configuration: {place}{refused}", f"`ssh -G {address}` checks it"
                ) from None
            _note_passed_over(name, line, str(refused))
            lines = [replace(each, text=_NEVER) if each is line else each for each in lines]
    raise AssertionError("each turn passes over one line")


def _last_lines(usual_user: str | None) -> list[Line]:
    """Return what applies if nothing else is said. ssh would take the home from the user database, we take HOME."""
    folder = user_file().parent
    lines = [f'UserKnownHostsFile "{folder}/known_hosts" "{folder}/known_hosts2"']
    lines += [f"User {usual_user}"] if usual_user else []
    return [Line(text, folder, 0) for text in lines]


def _note_passed_over(name: str, line: Line, reason: str) -> None:
    log_detail("ssh_config.block_passed_over", host=name, file=str(line.file), line=line.number, reason=reason)


async def _run(name: str, words: list[str], lines: list[Line]) -> str:
    """Return what `ssh -G` prints. Raises _Refused and _NoSsh."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # as in a container that runs with a number for a user
        raise _NoSsh("this user has no name") from None
    text = "".join(f"{line.text}\n" for line in lines)
    try:
        # A file, since ssh may read it twice, as for `Match final`. There are few at a time, too.
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)):
            with tempfile.NamedTemporaryFile("wb", prefix="ssh_config.") as file:
                file.write(text.encode(errors="surrogateescape"))
                file.flush()
                async with asyncio.timeout(SECONDS):
                    status, output, errors = await _output([words[0], "-F", file.name, *words[1:]])
    except TimeoutError:
        raise HostRefused(
            name, f"`ssh -G` did not end within {SECONDS} s", "see what `Match exec` in ~/.ssh/config runs"
        ) from None
    except OSError as error:
        raise HostRefused(
            name,
            f"its settings cannot be asked of ssh: {error.strerror or error}",
            f"see that `ssh -G {name}` works, and that /tmp has room",
        ) from error
    if status:
        raise _why_refused(errors.decode(errors="replace"), file.name)
    return output.decode(errors="surrogateescape")


async def _output(words: list[str]) -> tuple[int, bytes, bytes]:
    """Return the exit status of a program, and what it printed. Raises _NoSsh."""
    try:
        async with child_process(*words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as child:
            assert child.stdout and child.stderr
            output, errors = await asyncio.gather(_read_some(child.stdout), _read_some(child.stderr))
            return await child.wait(), output, errors
    except OSError as error:
        if is_missing(words[0], error):
            raise _NoSsh(f"{words[0]} is not installed") from error
        raise


async def _read_some(stream: asyncio.StreamReader) -> bytes:
    """Read to the end, and keep no more than LARGEST_BYTES."""
    kept = bytearray()
    while block := await stream.read(65536):
        kept += block[: LARGEST_BYTES - len(kept)]
    return bytes(kept)


def _why_refused(errors: str, file: str) -> _Refused:
    """Find the first line that ssh complains about, in the composed text or in a file that a block includes."""
    reasons = list[str]()
    for text in errors.splitlines():
        found = _REFUSED_LINE.fullmatch(text.strip())
        if found and found[1] == file:
            return _Refused(printable("; ".join([*reasons, found[3]])), int(found[2]))
        if found or not text.startswith("Pseudo-terminal"):
            reasons.append(text.strip())
    return _Refused(printable("; ".join(reasons)) or "no message", 0)


def _read(output: str) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for line in output.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value)
    return found
