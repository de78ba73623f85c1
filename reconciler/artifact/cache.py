"""Files cached by their digest under `${XDG_CACHE_HOME:-~/.cache}/reconcile`. Each is complete or absent.

Losing the cache only costs time. A cached file is hashed again before it is used.
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

from reconciler.artifact.formats import Format
from reconciler.errors import ArtifactRefused, ArtifactUnavailable
from reconciler.files import TEMPORARY, cache_path, make_private

KEEP_UNUSED_SECONDS: Final = 30 * 24 * 3600
_TEMPORARY_SECONDS: Final = 24 * 3600  # longer than any download may take


def cache_folder(name: str) -> Path:
    """Return our private cache folder of that name, created if missing: an artifact can contain secrets."""
    with cache_errors():
        return make_private(cache_path(name))


@contextmanager
def cache_errors() -> Iterator[None]:
    """Turn an OSError, such as a full disk or an unwritable folder, into ArtifactUnavailable with a next step."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = error.strerror or str(error)
        raise ArtifactUnavailable(
            f"the artifact cache{where} cannot be used: {reason}",
            "free some space, or set XDG_CACHE_HOME to a writable folder",
        ) from error


def mark_used(path: Path) -> None:
    """Restart the 30 days after which forget_old() removes `path`."""
    with suppress(OSError):
        os.utime(path)


def forget_old(folder: Path) -> None:
    """Remove files that were not used for 30 days, and temporary files that a killed process left behind."""
    now = time.time()
    for path in folder.iterdir():
        keep = _TEMPORARY_SECONDS if TEMPORARY in path.name else KEEP_UNUSED_SECONDS
        with suppress(OSError):
            if now - path.stat().st_mtime > keep:
                path.unlink()


def open_regular(path: Path) -> FileIO:
    """Open `path` for reading.

    Raises ArtifactRefused for a folder, pipe or device, and ArtifactUnavailable if it cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer forever.
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
    """Return the sha256 of a file's bytes, as hex digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_digest(wanted: str, found: str, other: Format | None = None) -> ArtifactRefused:
    """Return the error for bytes with another digest than expected, which are in an `other` format if that is given.

    The caller puts the artifact's name in front.
    """
    digests = f"the sha256 does not match\n  wanted sha256 {wanted}\n  found  sha256 {found}"
    if other:
        return ArtifactRefused(f"it is {other.name}; {digests}", other.next_step)
    return ArtifactRefused(
        digests,
        "if the new bytes are intended, publish them as a new version with its sha256; if not, restore the artifact",
    )
