"""Is the controller behind a lease still there? Told only of processes of this machine, since this boot.

A lease that a killed controller left behind need not be waited for where that can be seen.
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
    """A token that nobody else has; with it this machine can tell whether its process still runs."""
    return f"{os.getpid()}.{_start_ticks(os.getpid())}.{_this_machine()}.{secrets.token_hex(4)}"


def is_dead(token: str) -> bool:
    """The token's process was on this machine and is gone. False for every other token: nothing is known of it."""
    pid, _, rest = token.partition(".")
    started, _, rest = rest.partition(".")
    where = rest.partition(".")[0]
    return (
        where == _this_machine() != ""
        and re.fullmatch("[0-9]{1,9}", pid) is not None
        and _start_ticks(int(pid)) != started
    )


def _start_ticks(pid: int) -> str:
    """When the process began, in ticks since boot; "" when there is none. A pid is used again, this is not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


def _this_machine() -> str:
    """This machine, this boot, this PID namespace; "" where that cannot be told."""
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
    """Who we are to the hosts: a token for this process, a name for people, and whose desired state it is."""
    login = os.environ.get("USER") or os.environ.get("LOGNAME") or "root"
    name = re.sub(r"[^A-Za-z0-9@.:_-]", "_", f"{login}@{platform.node()}:{os.getpid()}")
    return Controller(new_token(), name, owner)


def lease_words(layout: Layout, controller: Controller, lease: Lease) -> tuple[str, ...]:
    """What every script takes first: where things lie, who asks, which lease was seen, and if it may be taken over."""
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
