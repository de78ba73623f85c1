"""Write files atomically, and find our folders in the user's cache.

A reader sees either the old or the new content of a file, never a part of it, even after a power cut.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

TEMPORARY: Final = ".tmp-"  # in the name of an unfinished file; a killed process leaves it behind
_PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Draft:
    """A file that is being written under a temporary name."""

    file: BinaryIO
    path: Path

    def publish(self, path: Path) -> None:
        """Flush the file to disk, then rename it to `path`, in the same folder. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.path.replace(path)
        with suppress(OSError):  # not every file system can sync a folder, and the new file is in place already
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def draft(path: Path, mode: int = 0o666) -> Iterator[Draft]:
    """Create a temporary file beside `path`, with `mode` minus the umask. Remove it unless the block publishes it."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}{secrets.token_hex(4)}")
    number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(number, "w+b") as file:
            yield Draft(file, temporary)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the file's content atomically. A symbolic link is replaced, never followed. Raises OSError.

    Without `mode`, the file keeps the mode and owner of the one it replaces; a new file gets those of any new file.
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
    """These names below `${XDG_CACHE_HOME:-~/.cache}/reconcile/`. Raises OSError if there is no home directory."""
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        # The XDG specification says to ignore a path that is not absolute.
        base = stated if stated.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        raise OSError("no home directory is known") from None
    return base.joinpath("reconcile", *names)


def make_private(folder: Path) -> Path:
    """Create the folder if needed, readable by its owner only because it can contain secrets. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
