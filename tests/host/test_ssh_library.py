"""asyncssh is imported without the compilers that it would start, and finds the libraries that it would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pathlib import Path
from reconciler.host import ssh_library
import ctypes.util
usual = ctypes.util.find_library
ssh_library.CACHE = Path(sys.argv[1])
ssh_library.import_asyncssh()
assert ctypes.util.find_library is usual
import asyncssh
asyncssh.connect
"""


def started(folder: Path, cache: bytes | None, **environ: str) -> set[str]:
    """The programs that were started by the import, with this as the linker's cache."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("ldconfig", "gcc", "cc", "ld"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} >>{folder}/started\nexit 1\n")
        (programs / name).chmod(0o755)
    if cache is not None:
        (folder / "cache").write_bytes(cache)
    usual = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    subprocess.run(
        [sys.executable, "-c", CODE, str(folder / "cache")], env=usual | {"PATH": str(programs)} | environ, check=True
    )
    log = folder / "started"
    return set(log.read_text().split()) if log.exists() else set()


def test_no_program_is_started_for_libraries_that_the_linker_does_not_know(tmp_path: Path) -> None:
    assert started(tmp_path, b"\0libc.so.6\0") == set()


@pytest.mark.parametrize(("cache", "path"), [(b"\0liboqs.so.5\0", ""), (None, ""), (b"", "/opt/lib")])
def test_a_library_that_may_be_there_is_searched_for(tmp_path: Path, cache: bytes | None, path: str) -> None:
    """The linker knows it, or its cache cannot be read, or there are more folders than those of the cache."""
    assert {"gcc", "ld"} <= started(tmp_path, cache, **({"LD_LIBRARY_PATH": path} if path else {}))
