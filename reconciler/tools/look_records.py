"""The form of every record of a look. A line of any other form is not a record. Pure.

Each kind has one regular expression, for the text after its name, which also limits the length of its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from reconciler.model.reserved import APP_NAME
from reconciler.tools.framing import Part, Unfit, Unreadable, number

LAST_EPOCH_SECONDS: Final = 253_402_300_799  # the end of the year 9999
LARGEST: Final = 10**15
SLOT: Final = r"(?:worker|[0-9]{1,5})"
JOB: Final = r"[a-z][0-9a-z_-]{0,30}"
RELEASE: Final = r"[0-9A-Za-z._+~-]{1,128}"
_WORD = r"[0-9A-Za-z._@:+~-]{1,255}"
_FILE = r"[0-9A-Za-z@._+~-]{1,255}"
_PATH = r"/[0-9A-Za-z_.+@/-]{1,4000}"
_TEXT = r".{0,8192}"  # no line end

OF_AN_APP: Final[Mapping[str, str]] = {
    "slots": rf"((?:{SLOT} )*)",
    "link": rf"({_FILE}) (-|\.\./releases/{RELEASE})",
    "release": rf"(-?[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?) ({RELEASE})",
    "enabled": r"([0-9a-z]{1,255})",
    "migrated": rf"({RELEASE}(?:@[0-9a-f]{{12}})?)",
    "inventory": rf"([0-9a-f]{{0,64}})  ?({_PATH})",
    "quarantine": rf"([0-9]{{1,18}}) ([0-9A-Za-z._+~/-]{{1,300}})(?: ({_TEXT}))?",
    "hook": rf"(after_rollout|on_failure) ({RELEASE}/{RELEASE}/{RELEASE})"
    rf" (due|begun|done|failed)(?: ({_TEXT}))?",
    "owner": rf"({_WORD})",
    "commit": rf"({_WORD})",
    "suspended": rf"([0-9]{{1,18}}) ({_WORD}) ?({_TEXT})",
    "timer": rf"({JOB})",
    "jobs": r"(unfinished)",
    "runs": rf"({JOB}) ([0-9]{{1,18}}) ({SLOT}|-) ({RELEASE})",
    "ran": rf"({JOB}) ([0-9]{{1,18}}) ([0-9]{{1,18}}) ([a-z-]{{1,40}}) ([0-9]{{1,3}}) ({RELEASE})",
    "paused": rf"({JOB}) ([0-9]{{1,18}}) ({_WORD}) ?({_TEXT})",
    "trial": rf"({SLOT}) (#{_TEXT})",
    "started": rf"({SLOT}) ([0-9a-f]{{32}}) ({RELEASE}) (-|{RELEASE}/{RELEASE}/{RELEASE})",
    "env": rf"({SLOT}) (#{_TEXT})",
    "unit": rf"(#{_TEXT})",
    "route": rf"(#{_TEXT})",
    "routed": r"([0-9]{1,18})",
    "taken": rf"({_PATH})",
    "damaged": rf"({RELEASE})",
    "dump": rf"([0-9]{{1,18}}) ({SLOT})",
    "watched": rf"(-|{_FILE})",
    "served": rf"({_FILE}) (#{_TEXT})",
    "hold": r"(armed|refused)",
    "hand": rf"(enabled|#{_TEXT})",
    "certificate": r"(kept)",
    "long": rf"({_FILE})",
}
OF_THE_HOST: Final[Mapping[str, str]] = {
    "lease": r"[0-9]{1,15} [0-9A-Za-z._-]{1,128} [0-9]{1,9} [0-9A-Za-z@.:_-]{1,255}",
    "now": r"[0-9]{1,12}",
    "memory": r"[0-9]{1,15}",
    "disk": r"[0-9]{1,15} [0-9]{1,15} [0-9]{1,7}",
    "noexec": r"/[0-9A-Za-z_.+@/-]{0,4000}",
    "cpus": r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?){0,63}",
    "machine": r"[0-9A-Za-z_.-]{1,32}",
    "home": r"(/[0-9A-Za-z_.+@/-]{0,4000})?",
    "zone": r"[0-9A-Za-z_+/-]{1,64}",
    "noroutes": r"(there is no|[0-9A-Za-z_.$-]{1,64} may not write to) [0-9A-Za-z_.+@/-]{1,4000}",
}
# Of the forms above, a look has few: each is compiled when the first record of its kind is read.
compiled: Final = cache(re.compile)
_SUM = re.compile(rf"([0-9a-f]{{64}})  ({_PATH})")
_RIGHTS = re.compile(rf"([0-7]{{1,5}}) ([0-9]{{1,10}}) ({_PATH})")
_UNIT = re.compile(
    r"unit ([0-9A-Za-z@._:*\\-]{1,255}) ([a-z]{1,20}|-) ([0-9]{1,10}|-) ([0-9]{1,10}|-) ([0-9]{1,10}|-)"
    r" ([0-9a-f]{32}|-)"
    r" ([0-9]{1,10}|-) ([a-z-]{1,40}) ([!-~]{1,80})"
)
_PROCESS = re.compile(r"(process|child) ([0-9A-Za-z@._:*\\-]{1,255}) ([0-9]{1,10})")
_OPEN = re.compile(r"open ([0-9]{1,5}) ([0-9]{1,15})")
_LISTEN = re.compile(r"listen ([0-9]{1,5}) ([0-9]{1,15}) ([0-9]{1,10}) ([0-4])(?:-([0-9A-F]{8}|[0-9A-F]{32}))?")
_USER = re.compile(rf"user ([0-9]{{1,10}}) /var/lib/private/({APP_NAME})")
_OVERRIDE = re.compile(r"(dropin|masked|instead) ([0-9A-Za-z@._:*\\-]{1,255}) (-|/[0-9A-Za-z_.+@/:~-]{1,4000})")
_SETTING = re.compile(r"sets (/[0-9A-Za-z_.+@/:~-]{1,4000}) ([0-9A-Za-z]{1,64})")
_SOCKET = re.compile(r"socket /proc/([0-9]{1,10})/fd socket:\[([0-9]{1,15})\]")
_KEEPS = re.compile(r"keeps /proc/([0-9]{1,10})/fd")
_MEMORY = re.compile(r"/proc/([0-9]{1,10})/status:VmRSS:\s{1,20}([0-9]{1,15}) kB")
_ENVIRON = re.compile(rf"/proc/([0-9]{{1,10}})/environ:RECONCILE_INSTANCE=({RELEASE}/{RELEASE}/{RELEASE})")
_FOLDER = re.compile(rf"folder ([0-9]{{1,10}}) ({RELEASE})")
_OF_WHICH_APP = re.compile(rf"(?:unit|process|child|dropin|masked|instead) ({APP_NAME})@")


@dataclass(frozen=True)
class Unit:
    """The state of a unit, as systemd shows it; `-` stands for an empty value."""

    state: str = "-"
    job: str = "-"
    restarts: str = "-"
    invocation: str = "-"
    status: str = "-"
    result: str = "-"
    since: str = "-"


def records_of(part: Part) -> dict[str, list[tuple[str, ...]]]:
    """Return the records of an app by kind, in order. An optional value that is missing is "". Raises Unfit."""
    records: dict[str, list[tuple[str, ...]]] = {}
    for line in part.lines:
        kind, _, rest = line.partition(" ")
        form = OF_AN_APP.get(kind)
        if form is None:
            raise Unfit("one of its records on the host is of an unknown kind")
        found = compiled(form).fullmatch(rest)
        if found is None:
            raise Unfit(f"its {kind} record on the host is malformed")
        records.setdefault(kind, []).append(tuple(group or "" for group in found.groups()))
    return records


def epoch(text: str, what: str) -> int:
    """Read seconds since 1970, before the year 10000. Raises Unfit, which calls the value `what`."""
    return number(text, LAST_EPOCH_SECONDS, what)


def read_host(part: Part) -> dict[str, str]:
    """Return the records of the host itself, by key. Raises Unreadable."""
    values: dict[str, str] = {}
    for line in part.lines:
        key, _, value = line.partition(" ")
        form = OF_THE_HOST.get(key)
        if form is None or not compiled(form).fullmatch(value) or key in values:
            raise Unreadable(f"its {key} record is malformed" if form else "it has a record of an unknown kind")
        values[key] = value
    return values


def read_sums(part: Part) -> dict[str, str]:
    """Return path → sha256. Raises Unreadable."""
    sums: dict[str, str] = {}
    for line in part.lines:
        found = _SUM.fullmatch(line)
        if found is None:
            raise Unreadable("a record of a digest is malformed")
        sums[found[2]] = found[1]
    return sums


def read_rights(part: Part) -> dict[str, str]:
    """Return path → the mode and the owner that it should not have. Raises Unreadable."""
    rights: dict[str, str] = {}
    for line in part.lines:
        found = _RIGHTS.fullmatch(line)
        if found is None:
            raise Unreadable("a record of an owner and a mode is malformed")
        rights[found[3].replace("/./", "/")] = f"mode {found[1]}, owner {'root' if found[2] == '0' else found[2]}"
    return rights


# The addresses that a socket may listen on, from the nearest to 127.0.0.1.
LOOPBACK, EVERY_IPV4, EVERY_IPV6, NEVER, OTHER = range(5)
LOOPBACK_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Listener:
    """A listening socket, the uid that owns it, and the kind of address that it listens on."""

    inode: str
    user: str
    kind: int
    address: str = ""  # of kind OTHER, if it is one of IPv4

    def rank(self, address: str) -> int:
        """The socket with the lowest rank gets a connection to this address; one from `NEVER` on does not."""
        if address == LOOPBACK_ADDRESS or self.kind in (EVERY_IPV4, EVERY_IPV6):
            return self.kind
        return LOOPBACK if self.address == address else max(self.kind, NEVER)

    def exposed(self, address: str) -> bool:
        """True if other machines can reach it at another address than this one."""
        return self.kind in (EVERY_IPV4, EVERY_IPV6) or (self.kind == OTHER and self.address != address)


def _read_address(hexadecimal: str) -> str:
    """Return the IPv4 address that the tables of the kernel show in this form; "" for one of IPv6."""
    found = re.fullmatch(r"(?:0000000000000000FFFF0000)?([0-9A-F]{8})", hexadecimal)
    return ".".join(str(int(found[1][at : at + 2], 16)) for at in (6, 4, 2, 0)) if found else ""


@dataclass
class Processes:
    """Units, their processes, and their sockets. `odd` are the apps with a malformed record."""

    units: dict[str, Unit] = field(default_factory=dict)
    main: dict[str, str] = field(default_factory=dict)  # unit → pid of its main process
    pids: dict[str, set[str]] = field(default_factory=dict)  # unit → all pids that the look found
    listening: dict[str, set[Listener]] = field(default_factory=dict)  # port →
    users: dict[str, str] = field(default_factory=dict)  # uid → the app that runs as it
    opened: dict[str, int] = field(default_factory=dict)  # port → number of connections
    holders: dict[str, set[str]] = field(default_factory=dict)  # inode → pids
    keepers: set[str] = field(default_factory=set)  # pids that keep a file in their state folder open for writing
    memory_kib: dict[str, int] = field(default_factory=dict)  # pid →
    started_from: dict[str, str] = field(default_factory=dict)  # pid → RECONCILE_INSTANCE
    folders: dict[str, str] = field(default_factory=dict)  # pid → the release it is in, if not that of its slot's link
    dropins: dict[str, list[str]] = field(default_factory=dict)  # unit → drop-ins that reconcile did not write
    masked: dict[str, str] = field(default_factory=dict)  # unit → the link that masks it
    instead: dict[str, str] = field(default_factory=dict)  # unit → the file that systemd takes instead of ours
    settings: dict[str, list[str]] = field(default_factory=dict)  # drop-in → the settings that it makes
    odd: set[str] = field(default_factory=set)

    def read(self, part: Part) -> None:
        """Read one part. A malformed line of an app goes into `odd`; any other raises Unreadable."""
        for line in part.lines:
            if self._is_unit(line) or self._is_process(line) or self._is_port(line) or self._is_held(line):
                continue
            if self._is_override(line):
                continue
            if line.startswith("/proc/"):
                continue  # an environment of another form, or a process that has ended meanwhile: ignore it
            found = _OF_WHICH_APP.match(line)
            if found is None:
                raise Unreadable("a record of its processes is malformed")
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
        if found[1] == "process":  # else its unit has no main process any more
            self.main.setdefault(found[2], found[3])
        self.pids.setdefault(found[2], set()).add(found[3])
        return True

    def _is_override(self, line: str) -> bool:
        if found := _OVERRIDE.fullmatch(line):
            kind, unit, path = found.groups()
            if kind == "dropin":
                self.dropins.setdefault(unit, []).append(path)
            else:
                (self.masked if kind == "masked" else self.instead)[unit] = path
        elif found := _SETTING.fullmatch(line):
            self.settings.setdefault(found[1], []).append(found[2])
        return bool(found)

    def _is_port(self, line: str) -> bool:
        if found := _LISTEN.fullmatch(line):
            address = _read_address(found[5] or "")
            self.listening.setdefault(found[1], set()).add(Listener(found[2], found[3], int(found[4]), address))
        elif found := _OPEN.fullmatch(line):
            self.opened[found[1]] = int(found[2])
        elif found := _USER.fullmatch(line):
            self.users[found[1]] = found[2]
        return bool(found)

    def _is_held(self, line: str) -> bool:
        if found := _SOCKET.fullmatch(line):
            self.holders.setdefault(found[2], set()).add(found[1])
        elif found := _KEEPS.fullmatch(line):
            self.keepers.add(found[1])
        elif found := _MEMORY.fullmatch(line):
            self.memory_kib[found[1]] = int(found[2])
        elif found := _ENVIRON.fullmatch(line):
            self.started_from.setdefault(found[1], found[2])
        elif found := _FOLDER.fullmatch(line):
            self.folders.setdefault(found[1], found[2])
        return bool(found)
