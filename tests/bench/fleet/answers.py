"""What a recorded host answered, and which of these answers is due at a host that plays it."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PART = re.compile(rb"@@ (\S+ \S+) (\d+)\n")  # look.sh; its text follows, of so many bytes
LONGER_THAN = 7  # arguments that name the controller or a commit; shorter ones could stand in an answer by chance


@dataclass(frozen=True)
class Ran:
    """A command, and how it ended."""

    begins: str  # the command line up to its arguments
    verb: str  # of a look or a wait, which may be asked again; else empty
    arguments: tuple[str, ...]
    seconds: float
    status: int
    output: bytes
    errors: bytes

    def output_for(self, line: str) -> bytes:
        """Its output, with the arguments of this command line in place of those that were recorded."""
        given = zip(self.arguments, shlex.split(line[len(self.begins) :]), strict=False)
        changed = [(was.encode(), now.encode()) for was, now in given if was != now and len(was) > LONGER_THAN]
        output, done = b"", 0
        while header := PART.match(self.output, done):
            ends = header.end() + int(header[2])
            text = _replaced(self.output[header.end() : ends], changed)
            output += b"@@ %s %d\n%s" % (header[1], len(text), text)
            done = ends
            if self.output[done : done + 1] == b"\n":
                output, done = output + b"\n", done + 1
        return output + _replaced(self.output[done:], changed)


def _replaced(text: bytes, changed: list[tuple[bytes, bytes]]) -> bytes:
    for was, now in changed:
        text = text.replace(was, now)
    return text


@dataclass(frozen=True)
class Asked:
    """A request to a port, and what came back."""

    port: int
    path: str
    answer: bytes


def read(paths: Iterable[Path]) -> tuple[Ran | Asked, ...]:
    """The records of several commands, one after the other."""
    return tuple(_entry(json.loads(line)) for path in paths for line in path.read_text().splitlines())


def _entry(found: dict[str, object]) -> Ran | Asked:
    if "port" in found:
        return Asked(int(str(found["port"])), str(found["path"]), base64.b64decode(str(found["answer"])))
    output, errors = (base64.b64decode(str(found[key])) for key in ("output", "errors"))
    arguments = found["arguments"]
    assert isinstance(arguments, list)
    return Ran(
        str(found["begins"]), str(found["verb"]), tuple(map(str, arguments)), float(str(found["seconds"])),
        int(str(found["status"])), output, errors,
    )  # fmt: skip


@dataclass
class Player:
    """One host that plays the record. A look or a wait shows this place of it; other commands go on in it.

    A busy controller waits more often than the one that was recorded.
    """

    record: tuple[Ran | Asked, ...]
    place: int = 0  # of the entry that comes next
    unknown: int = 0
    _looked: dict[str, Ran] = field(default_factory=dict)

    def run(self, line: str) -> Ran | None:
        """The answer to a command; None if nothing like it was recorded."""
        at = self.place
        while at < len(self.record):
            entry = self.record[at]
            if isinstance(entry, Ran):
                if line.startswith(entry.begins):
                    self.place = at + 1
                    self._looked[entry.begins] = entry
                    return entry
                if entry.verb != "look" and self._asks(line):
                    break
            at += 1
        again = next((entry for begins, entry in self._looked.items() if line.startswith(begins) and entry.verb), None)
        self.unknown += again is None
        return again

    def ask(self, port: int, path: str) -> bytes | None:
        """What a port answered last at this place of the record."""
        latest = None
        for at, entry in enumerate(self.record):
            if isinstance(entry, Ran) and at >= self.place and entry.verb != "look" and latest is not None:
                break
            if isinstance(entry, Asked) and (entry.port, entry.path) == (port, path):
                latest = entry.answer
        return latest

    def _asks(self, line: str) -> bool:
        return any(isinstance(entry, Ran) and entry.verb and line.startswith(entry.begins) for entry in self.record)
