"""Plays a person at a terminal: runs a program on a pty, reads its output, types."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")


class Person:
    """The person; `shown` is all output so far, without colours."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid, self._fd, self._raw, self._read_to = pid, fd, b"", 0

    @property
    def shown(self) -> str:
        return _CONTROL.sub("", self._raw.decode(errors="replace"))

    def sees(self, pattern: str, seconds: float = 20) -> re.Match[str]:
        """Wait until output after the last match matches the pattern; return the match."""
        deadline = time.monotonic() + seconds
        while True:
            if found := re.compile(pattern).search(self.shown, self._read_to):
                self._read_to = found.end()
                return found
            assert time.monotonic() < deadline, f"never saw {pattern!r} in:\n{self.shown[self._read_to :]}"
            if select.select([self._fd], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the other side is closed
                    self._raw += os.read(self._fd, 65536)

    def types(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def answers(self, text: str, pattern: str) -> str:
        """Type the text; return what the first group of the pattern then matched."""
        self.types(text)
        return self.sees(pattern)[1]

    def resizes(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def settings(self) -> list[object]:
        """The terminal's settings: echo, line mode and everything else that a program can change."""
        return termios.tcgetattr(self._fd)

    def ends(self, seconds: float = 20) -> int:
        """Wait until the program ends; return its exit code."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._fd], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self._raw += os.read(self._fd, 65536)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it goes on after {seconds:g} s:\n{self.shown[-2000:]}")


@contextlib.contextmanager
def at_a_terminal(words: list[str], cwd: Path, environ: dict[str, str]) -> Iterator[Person]:
    """Run the program on its own terminal, 100 columns wide; kill it at the end if it still runs."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(words[0], words, environ | {"TERM": "xterm"})
    person = Person(pid, fd)
    person.resizes(100, 30)
    try:
        yield person
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(fd)
