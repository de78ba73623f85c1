"""Imports asyncssh without the compilers that it would start.

It asks `ctypes.util.find_library` for two libraries that few machines have. For one that is missing, that runs
ldconfig, gcc and ld, several times over: a tenth of a pass that finds nothing to do.
"""

from __future__ import annotations

import os
from pathlib import Path

# What the dynamic linker itself reads. It names every library that is not in a folder of LD_LIBRARY_PATH.
CACHE = Path("/etc/ld.so.cache")


def import_asyncssh() -> None:
    """Import asyncssh. A library that the linker's cache does not name is not searched for."""
    import ctypes.util

    usual = ctypes.util.find_library
    known = _known_libraries()

    def find(name: str) -> str | None:
        return usual(name) if known is None or name.removeprefix("lib").encode() in known else None

    ctypes.util.find_library = find
    try:
        import asyncssh  # noqa: F401
    finally:
        ctypes.util.find_library = usual


def _known_libraries() -> bytes | None:
    """Return the linker's cache, which has the names of libraries in it. None if libraries may be elsewhere."""
    if os.environ.get("LD_LIBRARY_PATH"):
        return None
    try:
        return CACHE.read_bytes()
    except OSError:  # another libc
        return None
