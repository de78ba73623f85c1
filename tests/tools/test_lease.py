"""The lease on a host: who may take it, and which looks are too old to act on."""

from __future__ import annotations

import fcntl
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.tools import script_text

LOCKED = 76


def script(state: Path, token: str, seen: int, command: str) -> list[str]:
    text = f"{script_text.own_text('prelude')}\nown_folders() {{ :; }}\n{command}\n"
    folders = [str(state / name) for name in ("releases", "env", "units", "state", "routes")]
    return ["sh", "-c", text, "sh", *folders, token, str(seen), f"{token}@here", "owner", "-", "-"]


def take(state: Path, token: str, seen: int) -> tuple[int, int]:
    """Take the lease as `token`, whose look saw this generation: the exit status, and the generation afterwards."""
    done = subprocess.run(script(state, token, seen, "take_lease"), capture_output=True, check=False, timeout=30)
    lease = state / "state" / "lease"
    return done.returncode, int(lease.read_text().split()[0]) if lease.exists() else 0


def free(state: Path) -> None:
    lease = state / "state" / "lease"
    generation, *_ = lease.read_text().split()
    lease.write_text(f"{generation} - 0 - -\n")


def test_a_free_lease_is_taken_and_each_holder_makes_it_one_more(tmp_path: Path) -> None:
    assert take(tmp_path, "a", 0) == (0, 1)
    assert take(tmp_path, "b", 1) == (LOCKED, 1)
    free(tmp_path)
    assert take(tmp_path, "b", 1) == (0, 2)


def test_apps_of_one_controller_share_the_look_by_which_it_was_taken(tmp_path: Path) -> None:
    assert take(tmp_path, "a", 0) == (0, 1)
    assert take(tmp_path, "a", 0) == (0, 1)
    assert take(tmp_path, "a", 1) == (0, 1)


@pytest.mark.parametrize("seen", [0, 1])
def test_what_was_decided_before_others_had_the_host_changes_nothing(tmp_path: Path, seen: int) -> None:
    """A controller slept in the middle of an action, others worked here, and it has the lease again by a new look."""
    assert take(tmp_path, "a", 0) == (0, 1)
    free(tmp_path)
    assert take(tmp_path, "b", 1) == (0, 2)
    free(tmp_path)
    assert take(tmp_path, "a", 2) == (0, 3)

    assert take(tmp_path, "a", seen) == (LOCKED, 3)


def test_who_lost_the_lease_while_it_waited_for_the_app_changes_nothing(tmp_path: Path) -> None:
    """A script of a controller that is gone waits for the script of the one that took the host over."""
    app, lease = tmp_path / "state" / "hello", tmp_path / "state" / "lease"
    assert take(tmp_path, "a", 0) == (0, 1)
    free(tmp_path)
    app.mkdir()
    with (app / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(script(tmp_path, "a", 1, "begin_change hello; touch $STATE/changed"))
        until = time.monotonic() + 20
        while lease.read_text().split()[1] != "a" and time.monotonic() < until:
            time.sleep(0.01)
        generation, _, *rest = lease.read_text().split()
        lease.write_text(f"{int(generation) + 1} b {' '.join(rest)}\n")

    assert waiting.wait(30) == LOCKED
    assert not (tmp_path / "state" / "changed").exists()
