"""A value in $EDITOR, as a file that only we can read, in memory where possible, and always removed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from reconciler.errors import UsageError
from reconciler.programs import why_not_started

_PREFIX = "reconcile-edit-"
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def edit(value: bytes, name: str, environ: Mapping[str, str]) -> bytes:
    """Return the value as the editor saved it. Raises UsageError if the editor cannot be run or failed."""
    words = shlex.split(environ.get("VISUAL") or environ.get("EDITOR") or "vi")
    with _private_folder(environ) as folder:
        file = folder / name.rpartition("/")[2]
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(value)
        try:
            with _leave_keyboard_to_editor():
                status = subprocess.run([*words, str(file)], check=False).returncode
            if status != 0:
                raise UsageError(f"{words[0]} ended with status {status}", "nothing was changed")
            return file.read_bytes()
        except OSError as error:
            next_step = "set EDITOR, or use reconcile secrets set"
            why = why_not_started(words[0], error)
            raise UsageError(f"{words[0]} cannot be run as an editor: {why}", next_step) from None


@contextmanager
def _private_folder(environ: Mapping[str, str]) -> Iterator[Path]:
    """A temporary folder that only we may enter. The editor's backup and swap files are removed with it."""
    base = _memory_folder(environ)
    if base is not None:
        _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    before = {number: signal.signal(number, _end) for number in _ENDINGS}
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _memory_folder(environ: Mapping[str, str]) -> Path | None:
    """Return a folder in memory, or None if there is none; the usual folder for temporary files is used then."""
    for place in (environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - the folder made in it is 0700
        if place and Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    return None


def _sweep(base: Path) -> None:
    """Remove the folders that killed edits left behind."""
    for folder in base.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)  # fails for another user's folder, which is fine


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _leave_keyboard_to_editor() -> Iterator[None]:
    """Ignore Ctrl-C here, but not in the editor: a child process inherits SIG_IGN, but not a handler."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
