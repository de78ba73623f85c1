"""A host's files: what is there, what a power cut would leave, and copies of all of it.

`/`, `/srv` and `/var` are file systems of their own here. What was written lies in memory until it is synced: a cut may
lose all since the last commit of each file system or of one alone, or keep names and lose bytes, or lose nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.simulator.loop import EPOCH

SYSTEMS = ("etc", "srv", "var")
Left = Literal["lost", "torn", "kept", "lost etc", "lost srv", "lost var"]
LEFT: tuple[Left, ...] = ("lost", "torn", "kept", "lost etc", "lost srv", "lost var")
FRESH = (1_700_000_000 + 1) * 10**9  # times between this and EPOCH are those of the real machine
WRITTEN_BACK_SECONDS = 35.0  # by the kernel itself
Key = tuple[int, int, int]


@dataclass(frozen=True)
class Entry:
    """One name: `d`irectory, `f`ile or `l`ink. `key` tells whether a file is still the one that was read."""

    kind: str
    mode: int
    mtime_ns: int
    target: str = ""
    key: Key = (0, 0, 0)
    size: int = 0
    raw: tuple[int, ...] = field(default=(), compare=False)


def _entry(each: os.DirEntry[str], raw: tuple[int, ...]) -> Entry:
    inode, mtime, size, mode = raw
    if stat.S_ISLNK(mode):
        return Entry("l", stat.S_IMODE(mode), mtime, str(Path(each.path).readlink()), raw=raw)
    if stat.S_ISDIR(mode):
        return Entry("d", stat.S_IMODE(mode), mtime, raw=raw)
    return Entry("f", stat.S_IMODE(mode), mtime, "", (inode, mtime, size), size, raw=raw)


Image = dict[str, Entry]


@dataclass
class Files:
    """Everything below the host's folder that is not made up by the simulator."""

    root: Path
    now: Image = field(default_factory=dict)
    durable: dict[str, Image] = field(default_factory=lambda: {name: {} for name in SYSTEMS})
    content: dict[Key, bytes] = field(default_factory=dict)  # of files of which the bytes are durable
    synced: set[Key] = field(default_factory=set)
    read: dict[Key, bytes] = field(default_factory=dict)
    changed_at: float = 0.0

    def scan(self, epoch_seconds: float) -> set[str]:
        """Look again; the names that changed. What was written just now is as old as the virtual time says."""
        if epoch_seconds - self.changed_at > WRITTEN_BACK_SECONDS:
            for name in SYSTEMS:
                self.sync_system(name)
        before, now = self.now, {}
        now_ns = int(epoch_seconds * 10**9)
        folders = [f"{name}" for name in (*SYSTEMS, "run")]
        start = len(str(self.root)) + 1
        changed: set[str] = set()
        while folders:
            with os.scandir(f"{self.root}/{folders.pop()}") as entries:
                for each in entries:
                    found = each.stat(follow_symlinks=False)
                    path, mtime = each.path[start:], found.st_mtime_ns
                    if FRESH < mtime < EPOCH * 10**9:
                        os.utime(each.path, ns=(now_ns, now_ns), follow_symlinks=False)
                        mtime = now_ns
                    raw = (found.st_ino, mtime, found.st_size, found.st_mode)
                    entry = before.get(path)
                    if entry is None or entry.raw != raw:
                        entry = _entry(each, raw)
                        changed.add(path)
                    now[path] = entry
                    if entry.kind == "d":
                        folders.append(path)
        changed.update(before.keys() - now.keys())
        self.now = now
        if changed:
            self.changed_at = epoch_seconds
        return changed

    def bytes_of(self, path: str) -> bytes:
        """What a file holds now."""
        entry = self.now[path]
        if entry.key not in self.read:
            self.read[entry.key] = (self.root / path).read_bytes() if entry.size else b""
        return self.read[entry.key]

    def text(self, path: str) -> str:
        entry = self.now.get(path)
        return self.bytes_of(path).decode(errors="replace") if entry and entry.kind == "f" else ""

    def names(self, folder: str) -> list[str]:
        start = folder + "/"
        return sorted(
            path[len(start) :] for path in self.now if path.startswith(start) and "/" not in path[len(start) :]
        )

    def sync_system(self, name: str) -> None:
        """All of one file system is on the disk."""
        if name in SYSTEMS:
            for path, entry in self._of(name):
                self._keep(path, entry)
            self.durable[name] = dict(self._of(name))

    def sync_file(self, path: str) -> None:
        """One file's bytes are, and with the journal all names of its file system."""
        name = path.partition("/")[0]
        if name in SYSTEMS:
            if path in self.now:
                self._keep(path, self.now[path])
            self.durable[name] = dict(self._of(name))

    def _of(self, name: str) -> Iterator[tuple[str, Entry]]:
        start = name + "/"
        return ((path, entry) for path, entry in self.now.items() if path.startswith(start))

    def _keep(self, path: str, entry: Entry) -> None:
        if entry.kind == "f" and entry.key not in self.synced:
            self.content[entry.key] = self.bytes_of(path)
            self.synced.add(entry.key)

    def after_cut(self, left: Left) -> Image:
        """What there is after a power cut."""
        paths = self.now.keys() | {path for image in self.durable.values() for path in image}
        return {path: entry for path in paths if (entry := self.survivor(path, left))}

    def survivor(self, path: str, left: Left) -> Entry | None:
        """What there is of one path after a power cut. A file whose bytes are lost is empty."""
        system = path.partition("/")[0]
        if system not in SYSTEMS:
            return None
        loses = left in ("lost", f"lost {system}")
        entry = self.durable[system].get(path) if loses else self.now.get(path)
        if entry is None or self._is_whole(entry) or not (loses or left == "torn"):
            return entry
        return Entry(entry.kind, entry.mode, entry.mtime_ns)

    def _is_whole(self, entry: Entry) -> bool:
        return entry.kind != "f" or not entry.size or entry.key in self.synced

    def cut(self, left: Left, epoch_seconds: float) -> None:
        """The power is gone: make it so."""
        image = self.after_cut(left)
        contents = {
            path: self.content[entry.key] if entry.key in self.synced else self.bytes_of(path)
            for path, entry in image.items()
            if entry.kind == "f" and entry.size
        }
        for name in (*SYSTEMS, "run"):
            shutil.rmtree(self.root / name)
            (self.root / name).mkdir()
        self._make(image, contents)
        self.settle(epoch_seconds)

    def settle(self, epoch_seconds: float) -> None:
        """All that is there now is on the disk, as after a boot."""
        self.now, self.content, self.synced, self.read = {}, {}, set(), {}
        self.scan(epoch_seconds)
        for name in SYSTEMS:
            self.sync_system(name)

    def _make(self, image: Image, contents: dict[str, bytes]) -> None:
        for path, entry in sorted(image.items()):
            place = self.root / path
            if entry.kind == "d":
                place.mkdir(exist_ok=True)
            elif entry.kind == "l":
                place.symlink_to(entry.target)
            else:
                place.write_bytes(contents.get(path, b""))
            if entry.kind != "l":
                place.chmod(entry.mode)
        for path, entry in sorted(image.items(), reverse=True):
            os.utime(self.root / path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def copy(self) -> FilesCopy:
        """All of it, to begin from again."""
        contents = {path: self.bytes_of(path) for path, entry in self.now.items() if entry.kind == "f"}
        durable = {
            name: {
                path: (entry, self.content.get(entry.key, b""), self._is_whole(entry)) for path, entry in image.items()
            }
            for name, image in self.durable.items()
        }
        whole = {path for path, entry in self.now.items() if self._is_whole(entry)}
        return FilesCopy(str(self.root).encode(), dict(self.now), contents, durable, whole)

    def restore(self, copy: FilesCopy, epoch_seconds: float) -> None:
        """Begin from a copy."""
        for name in (*SYSTEMS, "run"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            (self.root / name).mkdir()
        here = str(self.root).encode()  # inventories name files, and the host lay in another folder
        self._make(copy.now, {path: content.replace(copy.root, here) for path, content in copy.contents.items()})
        self.now, self.content, self.synced, self.read = {}, {}, set(), {}
        self.scan(epoch_seconds)
        for path in copy.whole:
            self._keep(path, self.now[path])
        serial = 0
        for name, image in copy.durable.items():
            self.durable[name] = {}
            for path, (entry, content, whole) in image.items():
                same = self.now.get(path)
                if same and entry == copy.now.get(path):
                    self.durable[name][path] = same
                    continue
                serial -= 1
                key = (serial, 0, 0)
                if whole and entry.kind == "f":
                    self.content[key] = content.replace(copy.root, here)
                    self.synced.add(key)
                self.durable[name][path] = Entry(entry.kind, entry.mode, entry.mtime_ns, entry.target, key, entry.size)


@dataclass(frozen=True)
class FilesCopy:
    """What `Files.copy` took."""

    root: bytes
    now: Image
    contents: dict[str, bytes]
    durable: dict[str, dict[str, tuple[Entry, bytes, bool]]]
    whole: set[str]
