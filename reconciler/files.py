"""Files written whole, and our folders in the user's cache.

A reader, and this machine after a power cut, finds what a file said before or what it says now: never a part of it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

TEMPORARY: Final = ".tmp-"  # in the name of a file that is not whole yet; a killed process leaves it behind
_PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Draft:
    """A file that nobody knows by its name yet."""

    file: BinaryIO
    path: Path

    def publish(self, path: Path) -> None:
        """Bring it to the disk, then under this name, in the same folder. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.path.replace(path)
        with suppress(OSError):  # not every file system can, and the new file is in place by now
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def draft(path: Path, mode: int = 0o666) -> Iterator[Draft]:
    """A new file beside `path`, less what umask takes from `mode`; removed unless it is published in the block."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}{secrets.token_hex(4)}")
    number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(number, "w+b") as file:
            yield Draft(file, temporary)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Put `content` in the place of what is there. A symbolic link is replaced, never followed. Raises OSError.

    Without a mode, the file gets the mode and owner of the one it replaces, or what umask leaves to a new one.
    """
    before = None if mode is not None else _status(path)
    with draft(path, 0o666 if mode is None and before is None else _PRIVATE) as new:
        new.file.write(content)
        if before is not None:
            with suppress(PermissionError):  # only root may give a file away
                os.fchown(new.file.fileno(), before.st_uid, before.st_gid)
            mode = before.st_mode & 0o7777
        if mode is not None:
            os.fchmod(new.file.fileno(), mode)
        new.publish(path)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def cache_path(*names: str) -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/reconcile/` and these names. Raises OSError when there is no home directory."""
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        # The XDG specification says to ignore a path that is not absolute.
        base = stated if stated.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        raise OSError("no home directory is known") from None
    return base.joinpath("reconcile", *names)


def make_private(folder: Path) -> Path:
    """The folder, made if need be: only its owner can look in, since it can hold secrets. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
