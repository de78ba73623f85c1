"""A lease is taken over at once only from a controller that is known to have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.observe.lease import is_dead, new_token

TOKEN = "import sys; from reconciler.observe.lease import new_token; print(new_token(), flush=True); sys.stdin.read()"


def test_a_controller_is_dead_when_its_process_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", TOKEN], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout and other.stdin
        token = other.stdout.readline().strip()
        assert not is_dead(token)
        other.stdin.close()

    assert is_dead(token)
    assert not is_dead(new_token())


@pytest.mark.parametrize("error", [PermissionError, None])
def test_a_controller_whose_process_is_hidden_is_not_dead(
    error: type[OSError] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc with hidepid=2 shows each user only his own processes, as if there were no others."""
    token, read = new_token(), Path.read_text

    def read_text(path: Path, **how: str) -> str:
        if str(path).startswith("/proc/") and path.name == "stat":
            raise FileNotFoundError(path)
        return read(path)

    def kill(pid: int, number: int) -> None:
        if error:
            raise error

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(os, "kill", kill)

    assert not is_dead(token)
