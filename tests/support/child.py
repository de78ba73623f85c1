"""Programs that a test starts, and that never outlive it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import AnyStr


@contextlib.contextmanager
def killed_at_the_end(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """The process, killed at the end of the block if it still runs; `with Popen(…)` alone would wait for it forever."""
    with process:
        try:
            yield process
        finally:
            process.kill()
