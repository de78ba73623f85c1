"""Lends the user's terminal to a program that runs on a host, and restores it however that program ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.errors import UsageError

_ENDED_BY = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Terminal:
    """The terminal, through its own file descriptor: flags set on it, such as non-blocking, do not affect stdin."""

    fd: int
    kind: str

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows at this moment."""
        size = os.get_terminal_size(self.fd)
        return size.columns, size.lines

    @contextlib.contextmanager
    def resizes(self, on_resize: Callable[[int, int], None]) -> Iterator[None]:
        """Call `on_resize` with columns and rows whenever the window size changes."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, lambda: on_resize(*self.size))
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)


def has_terminal() -> bool:
    """True if stdin and stdout are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def require_terminal() -> None:
    """Raise UsageError if stdin or stdout is not a terminal. Callers do this before they contact any host."""
    if not has_terminal():
        raise UsageError(
            "this needs a terminal on stdin and stdout", "run it in a terminal; in a script, use reconcile rpc"
        )


@contextlib.contextmanager
def lend_terminal(*, raw: bool) -> Iterator[Terminal]:
    """Lend the terminal of stdin, and restore it afterwards. With `raw`, every key goes to the program, even Ctrl-C.

    Raises UsageError if there is none.
    """
    require_terminal()
    fd = os.open(os.ttyname(sys.stdin.fileno()), os.O_RDWR | os.O_NOCTTY)
    before = termios.tcgetattr(fd)
    try:
        with _end_gently():
            if raw:
                tty.setraw(fd)
            yield Terminal(fd, os.environ.get("TERM") or "dumb")
    finally:
        with contextlib.suppress(termios.error):  # its window was closed
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        os.close(fd)


@contextlib.contextmanager
def _end_gently() -> Iterator[None]:
    """Turn signals that would kill this process into the end of the block, so that the terminal is restored."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in _ENDED_BY:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C belongs to the program
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
        raise SystemExit(128 + received[0]) from None
    finally:
        for number in (*_ENDED_BY, signal.SIGINT):
            loop.remove_signal_handler(number)
