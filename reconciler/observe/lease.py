"""The identity of a controller, and whether the controller that holds a lease still runs.

That is known only of processes of this machine since its last boot. A lease that one of them left behind when it was
killed can then be taken over without waiting for it to expire.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
from pathlib import Path

from reconciler.model.machine import Layout
from reconciler.model.observed import Lease
from reconciler.model.target import Controller
from reconciler.tools.look import layout_words


def new_token() -> str:
    """Return a unique token, from which this machine can tell whether its process still runs."""
    return f"{os.getpid()}.{_start_ticks(os.getpid())}.{_this_machine()}.{secrets.token_hex(4)}"


def is_dead(token: str) -> bool:
    """True if the token's process ran on this machine and has ended. False if it runs, or ran on another machine."""
    pid, _, rest = token.partition(".")
    started, _, rest = rest.partition(".")
    where = rest.partition(".")[0]
    return (
        where == _this_machine() != "" and re.fullmatch("[0-9]{1,9}", pid) is not None and _has_ended(int(pid), started)
    )


def _has_ended(pid: int, started: str) -> bool:
    """True if the process that began at this time has ended. One that /proc hides from us (hidepid) has not."""
    ticks = _start_ticks(pid)
    return ticks != started and (ticks != "" or not _is_hidden(pid))


def _is_hidden(pid: int) -> bool:
    """True if the kernel knows the process and /proc does not show it. It tells us so by refusing a signal to it."""
    try:
        os.kill(pid, 0)  # sends nothing
    except PermissionError:
        return True
    except OSError:
        return False
    return not Path(f"/proc/{pid}").exists()


def _start_ticks(pid: int) -> str:
    """Return when the process started, in ticks since boot, or "" if it has ended.

    The kernel reuses a pid, but never a pid with the same start time.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


def _this_machine() -> str:
    """Return a digest that identifies this machine, boot and PID namespace, or "" if one of them cannot be read."""
    try:
        parts = [
            Path("/etc/machine-id").read_text(),
            Path("/proc/sys/kernel/random/boot_id").read_text(),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    except OSError:
        return ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def new_controller(owner: str) -> Controller:
    """Return our identity towards the hosts: a token for this process, a name for people, and the owner."""
    login = os.environ.get("USER") or os.environ.get("LOGNAME") or "root"
    name = re.sub(r"[^A-Za-z0-9@.:_-]", "_", f"{login}@{platform.node()}:{os.getpid()}")
    return Controller(new_token(), name, owner)


def lease_words(layout: Layout, controller: Controller, lease: Lease) -> tuple[str, ...]:
    """Return the first arguments of every script: the layout, the controller, and the lease that was seen.

    The token of an abandoned lease is passed so that the script may take it over.
    """
    abandoned = lease.token if lease.abandoned else "-"
    return (
        *layout_words(layout),
        controller.token,
        str(lease.generation),
        controller.holder,
        controller.owner,
        abandoned,
        controller.revision or "-",
    )
