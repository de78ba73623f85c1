"""The command line in a process forked from one that has already imported everything.

That saves a second of CPU, most of what a short run costs. A test about the process itself (killed, watched, at a
terminal, its first second) starts a real one.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import reconciler

LONGEST_SECONDS = 240

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["asyncssh", "jinja2", "structlog", "yaml"]
    + [module.name for module in pkgutil.walk_packages(reconciler.__path__, "reconciler.")]
)


def reconcile(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `reconcile` with these words, in this folder and environment only. Raises TimeoutError after killing it."""
    with tempfile.TemporaryDirectory(prefix="reconcile-run-") as place:
        read, out, err = (Path(place, name) for name in ("in", "out", "err"))
        for path, text in ((read, stdin), (out, ""), (err, "")):
            path.write_text(text)
        process = _FORKS.Process(target=_run, args=(list(words), folder, dict(environ), (read, out, err)))
        process.start()
        process.join(LONGEST_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"reconcile {' '.join(words)}: not within {LONGEST_SECONDS} s\n{err.read_text()}")
        return subprocess.CompletedProcess(list(words), process.exitcode, out.read_text(), err.read_text())


def _run(words: list[str], folder: Path, environ: dict[str, str], streams: tuple[Path, Path, Path]) -> None:
    from reconciler.cli import main

    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing had closed it
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.exit(main(words))
