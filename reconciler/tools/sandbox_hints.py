"""What an app needs that its sandbox denies: seen in its release before the start, or in its log after it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from reconciler.model.desired import App
from reconciler.tools.start_command import start_program

# Runtimes that compile while they run. They write code into memory and execute it there.
_COMPILERS = frozenset({"node", "deno", "bun", "java"})
_WRITES_CODE = (
    "memory that it can write and execute: write sandbox: {write_execute_memory: true}",
    r"\bmprotect\b.*(EPERM|not permitted|failed)|Check failed: 12 == \(\*__errno_location"
    r"|OS::SetPermissions|CodeRange|executable memory|write\+execute memory|\bJIT memory\b",
)
_DENIED = (
    _WRITES_CODE,
    (
        "to write where it may not: its own folder is $STATE_DIRECTORY, and sandbox: {extra_writable_paths: [/PATH]} "
        "allows another",
        r"\bread-only file ?system\b|\bEROFS\b|\berrno:? 30\b",
    ),
    (
        "an address family that the sandbox denies; it allows IPv4, IPv6, Unix and netlink sockets",
        r"\bEAFNOSUPPORT\b|\baddress family not supported\b|\bsystem error 97\b|\berrno:? 97\b",
    ),
    (
        "to listen on a port that is not its own: it has $PORT, and sandbox: {extra_ports: [9568]} allows others",
        r"\b(listen|bind)\b.*(EPERM|operation not permitted)",
    ),
    (
        "namespaces of its own: write sandbox: {namespaces: true}",
        r"\b(unshare|clone|CLONE_NEW\w+)\b.*(EPERM|not permitted)|\bno usable sandbox\b",
    ),
    (
        "a port below 1024: it has $PORT, and Traefik is in front of it",
        r"\b(listen|bind)\b.*(EACCES|permission denied)",
    ),
    (
        "to become another user: it runs as one of its own already, so take the user and group out of its settings",
        r"\b(set(res)?[ug]id|(set|init)groups|f?chown)\b.*(EPERM|not permitted)",
    ),
    (
        "a device: write sandbox: {devices: true}",
        r"/dev/(dri|fuse|kvm|net|snd|tty|video|bus/usb)\w*\b.*(ENOENT|EPERM|EACCES|no such file|denied|not permitted)"
        r"|(no such file|denied|not permitted).*/dev/(dri|fuse|kvm|net|snd|tty|video|bus/usb)",
    ),
)


def needs_to_write_code(app: App, paths: Collection[str], variables: Mapping[str, str]) -> str:
    """Return the program of the release that cannot start without executable memory; "" if it can, or may.

    That is Node as the start command: with another one, the program may never run, or not as a compiler.
    """
    program = start_program(app.start_command) or ""
    interpreted = "--jitless" in app.start_command or "--jitless" in variables.get("NODE_OPTIONS", "")
    refused = program in paths and program.rpartition("/")[2] == "node" and not interpreted
    return program if refused and not app.sandbox.write_execute_memory else ""


def warnings(app: App, paths: Iterable[str]) -> tuple[str, ...]:
    """Return a warning if the release has a program that compiles while it runs, which its sandbox denies."""
    if app.sandbox.write_execute_memory:
        return ()
    found = sorted(path for path in paths if "bin/" in path and path.rpartition("/")[2] in _COMPILERS)
    return tuple(f"{path} needs {_WRITES_CODE[0]}" for path in found[:1])


def explain_log(lines: Iterable[str]) -> str:
    """Say which protection of the sandbox an app complains about in its log, and the way out; "" if none."""
    text = "\n".join(lines)
    return next(
        (f"its log says that it needs {way}" for way, form in _DENIED if re.search(form, text, re.IGNORECASE)), ""
    )
