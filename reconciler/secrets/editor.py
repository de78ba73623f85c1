"""A value in $EDITOR: a file for us alone, in memory where there is such a place, and gone whatever happens."""

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
    """What the editor left. Raises UsageError when there is none or it failed; then nothing counts."""
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
            raise UsageError(f"{words[0]} cannot be used as an editor: {why}", next_step) from None


@contextmanager
def _private_folder(environ: Mapping[str, str]) -> Iterator[Path]:
    """A folder that only we may enter; the editor's own backup and swap files go with it."""
    base = _memory_folder(environ)
    if base is not None:
        _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    before = {each: signal.signal(each, _end) for each in _ENDINGS}
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for each, handler in before.items():
            signal.signal(each, handler)


def _memory_folder(environ: Mapping[str, str]) -> Path | None:
    """A place that never reaches a disk; None where there is none, for the usual folder of temporary files."""
    for place in (environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - the folder made in it is 0700
        if place and Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    return None


def _sweep(base: Path) -> None:
    """Removes what an edit left behind that was killed."""
    for folder in base.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)  # another user's cannot be removed, and need not be


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _leave_keyboard_to_editor() -> Iterator[None]:
    """Ctrl-C in an editor means something to the editor. A handler, unlike SIG_IGN, is not handed on to it."""
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
