"""A `reconcile` that watches real hosts, and what it logs."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Watching:
    """The process, and its log so far; `heard_at` (epoch seconds) is added to each event."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                self.events.append({**json.loads(line), "heard_at": time.time()})

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def since(self, at: float, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["heard_at"] >= at and event["event"] == name]


@contextmanager
def watching(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Watching]:
    """Run a watch during the block; end it by SIGTERM."""
    process = subprocess.Popen(
        words, cwd=folder, env=environ, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    watch = Watching(process)
    reader = threading.Thread(target=watch.read)
    reader.start()
    try:
        yield watch
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()
