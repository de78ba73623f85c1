"""Notifications that systemd expects of a service of Type=notify: ready, alive, stopping. None are sent without it."""

from __future__ import annotations

import os
import socket
from typing import Final

_MICRO: Final = 1_000_000


def notify(state: str) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=…`, or several as lines. Returns True if it was sent.

    Never waits and never raises. Does nothing without NOTIFY_SOCKET, or if nothing listens there.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as to:
            to.connect(address)
            to.send(state.encode())
    except (OSError, ValueError):
        return False
    return True


def watchdog_seconds() -> float | None:
    """Return the interval in seconds within which systemd expects `WATCHDOG=1`, or None if it does not expect any.

    The caller should send it twice per interval.
    """
    microseconds, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if process and process != str(os.getpid()):
        return None
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        return None
    return int(microseconds) / _MICRO
