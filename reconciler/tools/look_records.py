"""The form of every record of a look: a line that has none of these is no record. Pure.

Each kind has one regular expression for all that follows its name, and the largest value of its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.model.reserved import APP_NAME
from reconciler.tools.framing import Part, Unfit, Unreadable, number

LAST_EPOCH_SECONDS: Final = 253_402_300_799  # the end of the year 9999
LARGEST: Final = 10**15
SLOT: Final = r"(?:worker|[0-9]{1,5})"
RELEASE: Final = r"[0-9A-Za-z._+~-]{1,128}"
_WORD = r"[0-9A-Za-z._@:+~-]{1,255}"
_FILE = r"[0-9A-Za-z@._+~-]{1,255}"
_PATH = r"/[0-9A-Za-z_.+@/-]{1,4000}"
_TEXT = r".{0,8192}"  # no line end, and nothing that could be one for us

OF_AN_APP: Final[Mapping[str, re.Pattern[str]]] = {
    kind: re.compile(form)
    for kind, form in {
        "slots": rf"((?:{SLOT} )*)",
        "link": rf"({_FILE}) (-|\.\./releases/{RELEASE})",
        "release": rf"(-?[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?) ({RELEASE})",
        "enabled": r"([0-9a-z]{1,255})",
        "migrated": rf"({RELEASE})",
        "inventory": rf"([0-9a-f]{{0,64}})  ?({_PATH})",
        "quarantine": rf"([0-9]{{1,18}}) ([0-9A-Za-z._+~/-]{{1,300}})(?: ({_TEXT}))?",
        "owner": rf"({_WORD})",
        "commit": rf"({_WORD})",
        "suspended": rf"([0-9]{{1,18}}) ({_WORD}) ?({_TEXT})",
        "trial": rf"({SLOT}) (#{_TEXT})",
        "env": rf"({SLOT}) (#{_TEXT})",
        "unit": rf"(#{_TEXT})",
        "route": rf"(#{_TEXT})",
        "routed": r"([0-9]{1,18})",
        "taken": rf"({_PATH})",
        "damaged": rf"({RELEASE})",
        "dump": rf"([0-9]{{1,18}}) ({SLOT})",
        "watched": rf"(-|{_FILE})",
        "served": rf"({_FILE}) (#{_TEXT})",
        "hand": rf"(enabled|#{_TEXT})",
        "certificate": r"(kept)",
        "long": rf"({_FILE})",
    }.items()
}
OF_THE_HOST: Final[Mapping[str, re.Pattern[str]]] = {
    key: re.compile(form)
    for key, form in {
        "lease": r"[0-9]{1,15} [0-9A-Za-z._-]{1,128} [0-9]{1,9} [0-9A-Za-z@.:_-]{1,255}",
        "now": r"[0-9]{1,12}",
        "memory": r"[0-9]{1,15}",
        "home": r"(/[0-9A-Za-z_.+@/-]{0,4000})?",
        "noroutes": r"(there is no|[0-9A-Za-z_.$-]{1,64} may not write to) [0-9A-Za-z_.+@/-]{1,4000}",
    }.items()
}
_SUM = re.compile(rf"([0-9a-f]{{64}})  ({_PATH})")
_UNIT = re.compile(
    r"unit ([0-9A-Za-z@._:*\\-]{1,255}) ([a-z]{1,20}|-) ([0-9]{1,10}|-) ([0-9]{1,10}|-) ([0-9]{1,10}|-)"
    r" ([0-9a-f]{32}|-)"
    r" ([0-9]{1,10}|-) ([a-z-]{1,40}) ([!-~]{1,80})"
)
_PROCESS = re.compile(r"process ([0-9A-Za-z@._:*\\-]{1,255}) ([0-9]{1,10})")
_OPEN = re.compile(r"open ([0-9]{1,5}) ([0-9]{1,15})")
_LISTEN = re.compile(r"listen ([0-9]{1,5}) ([0-9]{1,15}) ([0-9]{1,10}) ([0-3])")
_USER = re.compile(rf"user ([0-9]{{1,10}}) /var/lib/private/({APP_NAME})")
_SOCKET = re.compile(r"socket /proc/([0-9]{1,10})/fd socket:\[([0-9]{1,15})\]")
_MEMORY = re.compile(r"/proc/([0-9]{1,10})/status:VmRSS:\s{1,20}([0-9]{1,15}) kB")
_ENVIRON = re.compile(rf"/proc/([0-9]{{1,10}})/environ:RECONCILE_INSTANCE=({RELEASE}/{RELEASE}/{RELEASE})")
_OF_WHICH_APP = re.compile(rf"(?:unit|process) ({APP_NAME})@")


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit, `-` for nothing."""

    state: str = "-"
    job: str = "-"
    restarts: str = "-"
    invocation: str = "-"
    status: str = "-"
    result: str = "-"
    since: str = "-"


def records_of(part: Part) -> dict[str, list[tuple[str, ...]]]:
    """The records of an app by kind, in order; a group that is not there is "". Raises Unfit."""
    records: dict[str, list[tuple[str, ...]]] = {}
    for line in part.lines:
        kind, _, rest = line.partition(" ")
        form = OF_AN_APP.get(kind)
        if form is None:
            raise Unfit("the host says something of it that is of no known kind")
        found = form.fullmatch(rest)
        if found is None:
            raise Unfit(f"what the host says of its {kind} is not of the form it has")
        records.setdefault(kind, []).append(tuple(group or "" for group in found.groups()))
    return records


def epoch(text: str, what: str) -> int:
    """Seconds since 1970, before the year 10000. Raises Unfit."""
    return number(text, LAST_EPOCH_SECONDS, what)


def read_host(part: Part) -> dict[str, str]:
    """What the host says of itself, by key. Raises Unreadable."""
    told: dict[str, str] = {}
    for line in part.lines:
        key, _, value = line.partition(" ")
        form = OF_THE_HOST.get(key)
        if form is None or not form.fullmatch(value) or key in told:
            raise Unreadable(f"its {key} is not of the form it has" if form else "it says something of no known kind")
        told[key] = value
    return told


def read_sums(part: Part) -> dict[str, str]:
    """Path → sha256. Raises Unreadable."""
    sums: dict[str, str] = {}
    for line in part.lines:
        found = _SUM.fullmatch(line)
        if found is None:
            raise Unreadable("a digest is not of the form it has")
        sums[found[2]] = found[1]
    return sums


@dataclass(frozen=True)
class Listener:
    """A socket that listens, the number of its user, and how near it is to what is sent to 127.0.0.1."""

    inode: str
    user: str
    kind: int  # the lowest one gets it; 3 never does


@dataclass
class Processes:
    """Units, their processes, and what those hold. `odd` are the apps of which something has no form."""

    units: dict[str, Unit] = field(default_factory=dict)
    main: dict[str, str] = field(default_factory=dict)  # unit → pid
    pids: dict[str, set[str]] = field(default_factory=dict)  # unit → all that were looked at
    listening: dict[str, set[Listener]] = field(default_factory=dict)  # port →
    users: dict[str, str] = field(default_factory=dict)  # number → the app of ours that is run by it
    opened: dict[str, int] = field(default_factory=dict)  # port → connections
    holders: dict[str, set[str]] = field(default_factory=dict)  # inode → pids
    memory_kib: dict[str, int] = field(default_factory=dict)  # pid →
    started_from: dict[str, str] = field(default_factory=dict)  # pid → RECONCILE_INSTANCE
    odd: set[str] = field(default_factory=set)

    def read(self, part: Part) -> None:
        """Take in one part. Raises Unreadable at a line that is of no app."""
        for line in part.lines:
            if self._is_unit(line) or self._is_process(line) or self._is_port(line) or self._is_held(line):
                continue
            if line.startswith("/proc/"):
                continue  # an environment of another form, or memory of a process that went: as if it were not there
            found = _OF_WHICH_APP.match(line)
            if found is None:
                raise Unreadable("it says something of its processes that is of no known form")
            self.odd.add(found[1])

    def _is_unit(self, line: str) -> bool:
        if not (found := _UNIT.fullmatch(line)):
            return False
        unit, state, job, _, restarts, invocation, status, result, since = found.groups()
        self.units[unit] = Unit(state, job, restarts, invocation, status, result, since.replace("_", " "))
        return True

    def _is_process(self, line: str) -> bool:
        if not (found := _PROCESS.fullmatch(line)):
            return False
        self.main.setdefault(found[1], found[2])
        self.pids.setdefault(found[1], set()).add(found[2])
        return True

    def _is_port(self, line: str) -> bool:
        if found := _LISTEN.fullmatch(line):
            self.listening.setdefault(found[1], set()).add(Listener(found[2], found[3], int(found[4])))
        elif found := _OPEN.fullmatch(line):
            self.opened[found[1]] = int(found[2])
        elif found := _USER.fullmatch(line):
            self.users[found[1]] = found[2]
        return bool(found)

    def _is_held(self, line: str) -> bool:
        if found := _SOCKET.fullmatch(line):
            self.holders.setdefault(found[2], set()).add(found[1])
        elif found := _MEMORY.fullmatch(line):
            self.memory_kib[found[1]] = int(found[2])
        elif found := _ENVIRON.fullmatch(line):
            self.started_from.setdefault(found[1], found[2])
        return bool(found)
