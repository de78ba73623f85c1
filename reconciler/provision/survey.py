"""Reads the output of `scripts/doctor.sh`: everything about a host that does not concern its apps. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.tools.framing import Unfit, Unreadable, number, read_parts

DEPLOY_USER = "reconcile"
LARGEST = 10**15


@dataclass(frozen=True)
class Mode:
    """A file or folder: its kind (`f`, `d` …, as `find` prints it), permissions in octal, and `user:group`."""

    kind: str
    permissions: str
    owner: str
    sha256: str = ""

    @property
    def by_root_alone(self) -> bool:
        """True if only root can change it."""
        return self.owner.startswith("root:") and int(self.permissions, 8) & 0o022 == 0


@dataclass(frozen=True)
class Account:
    """The deploy user. `password` is `closed`, `set` or `empty`; `keys` are the lines of its authorized_keys."""

    home: str
    shell: str
    password: str
    groups: tuple[str, ...]
    keys: tuple[str, ...]
    key_modes: dict[str, str]


@dataclass(frozen=True)
class Room:
    """The total and free space of one file system, in KiB or in inodes."""

    path: str
    total: int
    free: int


@dataclass(frozen=True)
class Survey:
    """One survey of a host. A field that could not be determined is empty."""

    way: str  # root, sudo, or verb (through reconcile-host): how the script became root
    os: str
    container: str
    missing: frozenset[str]  # programs that are not installed
    account: Account | None
    files: dict[str, Mode]
    folders: dict[str, Mode]
    disks: tuple[Room, ...]
    inodes: tuple[Room, ...]
    noexec: dict[str, str]  # folder → where its file system is mounted, if no program can be run from it
    memory: dict[str, int]  # MemTotal, MemAvailable, SwapTotal in KiB
    now_epoch_seconds: int
    clock_kept: bool
    controllers: frozenset[str]
    filters_ports: bool  # its systemd can hold an app to its own ports
    sshd: dict[str, str]
    journald_cap: str
    journald_reads_old: bool
    units: dict[str, tuple[str, str]]  # (enabled, active), as systemctl says
    listening: tuple[str, ...]  # address:port in hexadecimal, as in /proc/net/tcp
    env: dict[str, Mode]
    apps: tuple[str, ...]
    loose: tuple[str, ...]  # files of releases that root does not own or that others can change
    exposure: dict[str, float]  # per unit, from `systemd-analyze security`
    dynamic: dict[str, Mode]  # the files in Traefik's folder
    contents: dict[str, str] = field(repr=False)  # of the files in Traefik's folder


class NotASurvey(ValueError):
    """The text is cut off, or is not a survey."""


def read_survey(data: bytes) -> Survey:
    """Read one survey. Raises NotASurvey if it is cut off or malformed."""
    try:
        parts = read_parts(data)
    except Unreadable as error:
        raise NotASurvey(str(error)) from None
    if [part.kind for part in parts] != ["survey"]:
        raise NotASurvey("the output is incomplete")
    try:
        return _survey(_Lines(parts[0].text.split("\n")))
    except Unfit as error:
        raise NotASurvey(str(error)) from None


def _survey(lines: _Lines) -> Survey:
    return Survey(
        way=lines.first("way"),
        os=lines.first("os"),
        container="" if lines.first("container") == "none" else lines.first("container"),
        missing=frozenset(lines.all("missing")),
        account=_account(lines),
        files=_files(lines),
        folders=dict(_modes(lines, "folder")),
        disks=tuple(_rooms(lines, "disk")),
        inodes=tuple(_rooms(lines, "inodes")),
        noexec=dict(lines.pairs("noexec")),
        memory={key: number(value, LARGEST, f"its {key}") for key, value in lines.pairs("memory")},
        now_epoch_seconds=number(lines.first("now") or "0", 253_402_300_799, "its time"),
        clock_kept=lines.first("ntp") == "yes",
        controllers=frozenset(lines.first("controllers").split()),
        filters_ports="ports" in lines.all("has"),
        sshd=dict(lines.pairs("sshd")),
        journald_cap=lines.first("journald"),
        journald_reads_old=lines.first("journald-reads") == "old",
        units={words[0]: (words[1], words[2]) for words in lines.words("unit", 3)},
        listening=tuple(lines.all("listen")),
        env=dict(_modes(lines, "env")),
        apps=tuple(lines.all("app")),
        loose=tuple(lines.all("loose")),
        exposure={
            unit: float(value)
            for unit, value in lines.pairs("exposure")
            if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,4})?", value)
        },
        dynamic=dict(_modes(lines, "dynamic")),
        contents=_contents(lines.lines),
    )


@dataclass
class _Lines:
    lines: list[str]

    def all(self, key: str) -> Iterator[str]:
        return (line[len(key) + 1 :] for line in self.lines if line.startswith(f"{key} "))

    def first(self, key: str) -> str:
        return next(self.all(key), "").strip()

    def words(self, key: str, count: int) -> Iterator[list[str]]:
        return ((line.split() + [""] * count)[:count] for line in self.all(key))

    def pairs(self, key: str) -> Iterator[tuple[str, str]]:
        return ((first, rest) for first, _, rest in (line.partition(" ") for line in self.all(key)))


def _account(lines: _Lines) -> Account | None:
    words = lines.first("user").split(":")
    if len(words) < 7:
        return None
    modes = {path: mode for path, mode in lines.pairs("keys")}
    return Account(
        words[5],
        words[6],
        lines.first("password"),
        tuple(lines.first("groups").split()),
        tuple(lines.all("key")),
        modes,
    )


def _files(lines: _Lines) -> dict[str, Mode]:
    sums = {path.strip(): sha for sha, path in lines.pairs("sum")}
    return {
        path: Mode("f", _permissions(mode or "0"), owner, sums.get(path, ""))
        for path, mode, owner in lines.words("file", 3)
    }


def _modes(lines: _Lines, key: str) -> Iterator[tuple[str, Mode]]:
    for line in lines.all(key):
        path, kind, permissions, owner = (*line.rsplit(" ", 3), "", "", "")[:4]
        yield path, Mode(kind, _permissions(permissions or "0"), owner)


def _permissions(text: str) -> str:
    if not re.fullmatch("[0-7]{1,5}", text):
        raise Unfit("the permissions of a file are not an octal number")
    return text


def _rooms(lines: _Lines, key: str) -> Iterator[Room]:
    for path, total, free in lines.words(key, 3):
        # Some file systems do not count inodes.
        if re.fullmatch("[0-9]{1,18}", total) and re.fullmatch("[0-9]{1,18}", free):
            yield Room(path, int(total), int(free))


def _contents(lines: list[str]) -> dict[str, str]:
    contents: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("content "):
            name = line.removeprefix("content ")
            contents[name] = ""
        elif line.startswith("| ") and name:
            contents[name] += line[2:] + "\n"
    return contents
