"""Process ids that cannot be mistaken for a later process, and commands run on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01


class HostsError(RuntimeError):
    """A throw-away host could not be made, reached or removed; the message says what was seen."""


@dataclass(frozen=True)
class ProcessId:
    """A pid and the tick at which it started: together they never name another process."""

    pid: int
    started: int

    @staticmethod
    def of(pid: int) -> ProcessId | None:
        """The living process with this number, or None; a zombie is not living."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The name, in brackets, may hold spaces and brackets itself: count from the last one.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))

    @staticmethod
    def current() -> ProcessId:
        me = ProcessId.of(os.getpid())
        assert me is not None
        return me

    def alive(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # ours to reap, if it is our child
        return ProcessId.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal; a process that is gone is no error."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def children(self) -> tuple[ProcessId, ...]:
        found: list[ProcessId] = []
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                pids = (task / "children").read_text().split()
                found += [child for pid in pids if (child := ProcessId.of(int(pid)))]
        return tuple(found)


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as the condition holds; raise with `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HostsError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def command(words: Sequence[str], *, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run words on this machine; with `check`, a failure raises and shows what the program said."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise HostsError(f"`{' '.join(words)}` ended with {done.returncode}: {said}")
    return done


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it ends with this block or with this process, whichever is first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
