"""A watch ends by SIGTERM and by Ctrl-C; one in the background ignores Ctrl-C, as its shell arranged."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import conftest
from tests.support.child import killed_at_the_end

ROOT = Path(__file__).resolve().parents[2]
WATCH = [sys.executable, "-m", "reconciler.cli", "--working-tree", "--desired-state"]


@contextlib.contextmanager
def watching(folder: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """A watch of an empty folder that has finished its first pass; killed at the end if it still runs."""
    words = [*before, *WATCH, str(folder)]
    with killed_at_the_end(subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)) as process:
        assert process.stderr is not None
        assert "desired_state.refused" in process.stderr.readline()
        yield process


def ignores(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    return bool(int(fields["SigIgn"], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_ends_by_ctrl_c_and_by_sigterm(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path) as process:
        process.send_signal(number)

        assert process.wait(20) == 0


def test_a_watch_in_the_background_ignores_ctrl_c_and_ends_by_sigterm(tmp_path: Path) -> None:
    with watching(tmp_path, "sh", "-c", 'trap "" INT; exec "$@"', "sh") as process:
        assert ignores(process, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0


def test_tests_in_the_background_start_programs_that_ctrl_c_can_end() -> None:
    ask = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    run = f"import subprocess, sys, {conftest.__name__}; subprocess.run([sys.executable, '-c', {ask!r}], check=True)"
    words = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", run]

    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "True\n"
