"""Lines at the bottom of a terminal that are written over as work goes on. All that is printed meanwhile is above them.

While there are lines, `sys.stdout` and `sys.stderr` are stand-ins: they take the lines away, print, and put the lines
back, whoever prints. The cursor is always at the begin of a line, so that a process that is killed leaves a usable
screen.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO

from reconciler.layout import columns
from reconciler.terminal import can_redraw, size_of

_COLOUR = re.compile(r"\033\[[0-9;]*m")


class LiveRegion:
    """The lines that are shown on this stream, a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._replaced: dict[str, _Above] = {}

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines. None at all: give the screen back."""
        with self._lock:
            if lines and not self._replaced:
                self._stand_in()
            erased = self._erase()
            self._lines = tuple(lines)
            self._write(erased + self._text())
            if not lines:
                self._step_back()

    def print_above(self, stream: TextIO, text: str) -> None:
        """Write whole lines to a stream on the same terminal, above the lines."""
        with self._lock:
            self._write(self._erase())
            stream.write(text)
            stream.flush()
            self._write(self._text())

    def _text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def _erase(self) -> str:
        """What takes the lines away. A terminal that has become narrower has broken long ones over several rows."""
        width = size_of(self._stream)[0]
        rows = sum(max(1, -(-columns(_COLOUR.sub("", line)) // width)) for line in self._lines)
        return f"\r\033[{rows}A\033[J" if rows else ""  # \r: a ^C that was typed has moved the cursor

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()

    def _stand_in(self) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if can_redraw(stream):
                self._replaced[name] = _Above(self, stream)
                setattr(sys, name, self._replaced[name])

    def _step_back(self) -> None:
        for name, stand_in in self._replaced.items():
            if getattr(sys, name) is stand_in:
                setattr(sys, name, stand_in.stream)
            stand_in.end()
        self._replaced = {}


class _Above:
    """Stands in for a stream, and passes on whole lines only: a part of one would be torn by the lines below."""

    def __init__(self, region: LiveRegion, stream: TextIO) -> None:
        self.stream = stream
        self._region, self._begun, self._ended = region, "", False

    def write(self, text: str) -> int:
        if self._ended:
            return self.stream.write(text)
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._region.print_above(self.stream, whole + newline)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self.stream.flush()

    def end(self) -> None:
        """From now on, and for those that still hold it, this is the stream itself."""
        self._ended = True
        if self._begun:
            self.stream.write(self._begun)
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a stream has
        return getattr(self.stream, name)
