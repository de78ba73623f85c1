"""The lines of OpenSSH's client configuration: ~/.ssh/config, then /etc/ssh/ssh_config, with the files they include.

`compose` brings them into one text for `ssh -G`, which keeps the file and the line of each. `read_narrowly` is for
machines without ssh: it understands what most people write, and passes over a Match block that it cannot judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from reconciler.host.ssh_settings import local_user

SYSTEM_FOLDER = Path("/etc/ssh")
MOST_INCLUDES = 16  # one inside the other, as in OpenSSH
# Keywords that change nothing of what is asked of `ssh -G`. A configuration of these alone needs no `ssh -G`.
_WITHOUT_EFFECT = (
    "host sendenv setenv hashknownhosts gssapiauthentication gssapidelegatecredentials visualhostkey loglevel "
    "controlmaster controlpath controlpersist serveraliveinterval serveralivecountmax tcpkeepalive connecttimeout "
    "connectionattempts addkeystoagent forwardagent forwardx11 forwardx11trusted forwardx11timeout requesttty "
    "stricthostkeychecking updatehostkeys checkhostip batchmode escapechar xauthlocation localforward remoteforward "
    "dynamicforward exitonforwardfailure permitlocalcommand ipqos"
)
WITHOUT_EFFECT = frozenset(_WITHOUT_EFFECT.split())
_REST_OF_LINE = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")
_MANY = ("identityfile", "certificatefile")
_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(\S.*)")


@dataclass(frozen=True)
class Line:
    """One line and its place. It is empty where a file of the composed text ends."""

    text: str
    file: Path
    number: int

    @cached_property
    def keyword(self) -> str:
        found = _LINE.fullmatch(self.text.rstrip())
        return found[1].lower() if found else ""

    @cached_property
    def words(self) -> list[str]:
        """Its arguments without quotes and the comment at the end."""
        found = _LINE.fullmatch(self.text.rstrip())
        rest = found[2] if found else ""
        return [rest] if self.keyword in _REST_OF_LINE else list(_split(rest))


def user_file() -> Path:
    return Path("~/.ssh/config").expanduser()


def compose() -> list[Line]:
    """Return all lines in the order in which OpenSSH reads them; each file begins outside of any block."""
    lines = list[Line]()
    for file in (user_file(), SYSTEM_FOLDER / "ssh_config"):
        lines += [*_lines(file, 0), Line("Host *", file, 0)]
    return lines


def _lines(file: Path, depth: int) -> Iterator[Line]:
    try:
        texts = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError:  # missing, or not for us
        return
    in_block = False
    for number, text in enumerate(texts, 1):
        line = Line(text, file, number)
        in_block = in_block or line.keyword in ("host", "match")
        if line.keyword == "userknownhostsfile":  # ssh would print its own idea of the home
            files = " ".join(f'"{_at_home(word)}"' for word in line.words)
            yield Line(f"{line.keyword} {files}", file, number)
        elif line.keyword != "include":
            yield line
        elif in_block or depth == MOST_INCLUDES:  # what it says depends on the block
            yield Line("Include " + " ".join(f'"{name}"' for name in _absolute(line)), file, number)
        else:
            for name in included(line):
                yield from (*_lines(name, depth + 1), Line("Host *", name, 0))


def included(line: Line) -> list[Path]:
    """Return the files of an Include that exist, in order."""
    return [Path(name) for pattern in _absolute(line) for name in sorted(map(str, _glob(pattern)))]


def _at_home(word: str) -> str:
    return str(Path.home() / word[2:]) if word.startswith("~/") else word


def _absolute(line: Line) -> list[str]:
    folder = SYSTEM_FOLDER if line.file.is_relative_to(SYSTEM_FOLDER) else user_file().parent
    return [str(folder / _at_home(word)) for word in line.words]


def _glob(pattern: str) -> Iterable[Path]:
    return Path("/").glob(pattern.lstrip("/")) if pattern.strip("/") else ()


def read_narrowly(lines: list[Line], address: str, user: str | None) -> tuple[dict[str, list[str]], list[Line]]:
    """Return the settings for a host as `ssh -G` names them, and the Match lines that were passed over."""
    found = {"user": [user]} if user else dict[str, list[str]]()
    reading = _Reading(address, found, [])
    for final in (False, True):
        reading.read(lines, final=final)
    return {key: values for key, values in found.items() if values}, reading.passed_over


@dataclass
class _Reading:
    address: str
    found: dict[str, list[str]]
    passed_over: list[Line]

    def read(self, lines: Iterable[Line], *, final: bool, active: bool = True, depth: int = 0) -> None:
        """Take the values of active blocks; the first one counts. The second reading, `final`, adds what is missing."""
        for line in lines:
            if line.keyword == "host":
                active = _matches(self.address, line.words)
            elif line.keyword == "match":
                active = self._judge(line, final=final)
            elif line.keyword == "include" and active and depth < MOST_INCLUDES:
                for file in included(line):
                    self.read(_lines(file, depth), final=final, depth=depth + 1)
            elif active and line.keyword in _MANY:
                files = self.found.setdefault(line.keyword, [])
                files += [word for word in line.words[:1] if word not in files]
            elif active and line.keyword:
                self.found.setdefault(line.keyword, line.words)

    def _judge(self, line: Line, *, final: bool) -> bool:
        conditions = iter(line.words)
        holds = True
        for condition in conditions:
            kind, _, value = condition.lower().removeprefix("!").partition("=")
            if kind in ("all", "canonical", "final"):
                answer = kind == "all" or (kind == "final" and final)
            elif kind in ("host", "originalhost", "user", "localuser", "tagged"):
                answer = _matches(self._subject(kind), (value or next(conditions, "")).split(","))
            else:
                if line not in self.passed_over:
                    self.passed_over.append(line)
                return False
            holds = holds and answer != condition.startswith("!")
        return holds

    def _subject(self, kind: str) -> str:
        usual = {"host": self.address, "originalhost": self.address, "user": local_user(), "tagged": ""}
        key = {"host": "hostname", "user": "user", "tagged": "tag"}.get(kind, "")
        if kind == "localuser":
            return usual["user"]
        return self.found.get(key, [usual[kind]])[0].replace("%h", self.address)


def _matches(text: str, patterns: list[str]) -> bool:
    """True if one pattern matches and none with an exclamation mark does."""
    text = text.lower()
    if any(fnmatchcase(text, _plain(pattern[1:])) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatchcase(text, _plain(pattern)) for pattern in patterns)


def _plain(pattern: str) -> str:
    return pattern.lower().replace("[", "[[]")


def _split(text: str) -> Iterator[str]:
    """Split as OpenSSH does: quotes join words, and # at the beginning of a word starts a comment."""
    for found in re.finditer(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+""", text):
        word = found[0]
        if word.startswith("#"):
            return
        yield re.sub(r"""\\(["' \\])|["']""", lambda escaped: escaped[1] or "", word)
