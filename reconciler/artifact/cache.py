"""Files kept by their digest under `${XDG_CACHE_HOME:-~/.cache}/reconcile`: each is whole or absent.

Losing the cache costs time only. What is taken from it is hashed again first.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from reconciler.errors import ArtifactRefused, ArtifactUnavailable
from reconciler.files import TEMPORARY, cache_path, make_private

KEEP_UNUSED_SECONDS: Final = 30 * 24 * 3600
_TEMPORARY_SECONDS: Final = 24 * 3600  # longer than any download may take


def cache_folder(name: str) -> Path:
    """Our folder of that name, made if need be; an artifact can hold secrets."""
    with cache_errors():
        return make_private(cache_path(name))


@contextmanager
def cache_errors() -> Iterator[None]:
    """A full disk or a folder that cannot be written becomes an error that says what to do."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = error.strerror or str(error)
        raise ArtifactUnavailable(
            f"the artifact cache{where} cannot be used: {reason}",
            "make room or set XDG_CACHE_HOME to a folder that can be written",
        ) from error


def mark_used(path: Path) -> None:
    """Keep `path` from being forgotten for another while."""
    with suppress(OSError):
        os.utime(path)


def forget_old(folder: Path) -> None:
    """Remove what nobody used for a month, and what a killed process left half written."""
    now = time.time()
    for path in folder.iterdir():
        keep = _TEMPORARY_SECONDS if TEMPORARY in path.name else KEEP_UNUSED_SECONDS
        with suppress(OSError):
            if now - path.stat().st_mtime > keep:
                path.unlink()


def open_regular(path: Path) -> FileIO:
    """`path` open for reading. A folder, pipe or device is refused; one that cannot be read may be later."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer for ever.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ArtifactUnavailable(
            f"the artifact {path} cannot be read: {reason}", "build it, or set artifact.source to where it is"
        ) from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ArtifactRefused(f"the artifact {path} is not a file", "set artifact.source to a .tar.gz file")
    return FileIO(number)


def digest_of_file(path: Path) -> str:
    """The sha256 of a file's bytes, as hex digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_digest(wanted: str, found: str) -> ArtifactRefused:
    """The error for bytes other than the desired state names; the caller says before it whose they are."""
    return ArtifactRefused(
        f"these are not the bytes that were asked for\n  wanted sha256 {wanted}\n  found  sha256 {found}",
        "if the new bytes are meant, give them a new version and its sha256; if not, restore the artifact",
    )
