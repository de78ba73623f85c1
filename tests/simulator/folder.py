"""The folder of this process, and the end of all that it began: however the process ends, by SIGKILL too."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PREFIX = "reconcile-simulator-"
IN_FOLDER = "RECONCILE_SIMULATOR"  # a variable of every process that is begun for a simulation: its folder

# Waits for the end of its stdin, which comes with the death of the last process that has the other end.
_REAPER = r"""
trap '' HUP INT TERM
read -r _
for each in $(grep -alsF -e "RECONCILE_SIMULATOR=$1" /proc/[0-9]*/environ); do
  each=${each#/proc/}
  kill -s KILL "${each%%/*}" 2>/dev/null
done
rm -rf "${1:?}"
"""
_FOLDERS: dict[int, Path] = {}
_KEPT_OPEN: list[int] = []


def folder_of_process() -> Path:
    """One of this process, in memory if possible. It goes with the process, and so does all that it began."""
    pid = os.getpid()
    if pid not in _FOLDERS:
        _FOLDERS.clear()
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
        remove_folders_of_the_dead(Path(base))
        made = _FOLDERS[pid] = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}-", dir=base))
        reading, writing = os.pipe()
        _reaper(made, reading)
        os.close(reading)
        _KEPT_OPEN.append(writing)  # never closed: the kernel does so
    return _FOLDERS[pid]


def remove_folders_of_the_dead(base: Path) -> None:
    """What a run left that was killed together with what should have cleaned up behind it."""
    for left in base.glob(f"{PREFIX}*-*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _reaper(left, subprocess.DEVNULL).wait()


def _reaper(folder: Path, stdin: int) -> subprocess.Popen[bytes]:
    environment = {"PATH": "/usr/bin:/bin"}
    return subprocess.Popen(["sh", "-c", _REAPER, "reaper", str(folder)], stdin=stdin, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, cwd="/", env=environment, start_new_session=True)  # fmt: skip


def end_with_parent() -> None:
    """End this process, which is a fork, when its parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
