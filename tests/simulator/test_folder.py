"""A simulator that is killed leaves nothing on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.simulator.folder import remove_folders_of_the_dead
from tests.simulator.planted import REPOSITORY

PARKED = """
import time
from tests.simulator.process import Processes
def nothing(*_): pass
processes = Processes()
root = processes.folder / "host"
root.mkdir()
text = "(sleep 1000); sleep 1000\\n"
run = processes.start("web1", root, "look", text, (), b"", on_ask=nothing, on_end=nothing)
print(processes.folder.parent, run.process.pid, flush=True)
time.sleep(1000)
"""


def _await(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_what_a_killed_simulator_began_ends_with_it_and_its_folder_goes() -> None:
    with subprocess.Popen([sys.executable, "-c", PARKED], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, script = process.stdout.readline().split()
        assert Path(folder).is_dir()

        process.send_signal(signal.SIGKILL)

    assert _await(lambda: not Path(folder).exists())
    assert _await(lambda: not _session(int(script)))


def _session(leader: int) -> list[int]:
    """The processes that are in the session of a script."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(each.parent.name))
    return found


def test_a_run_takes_away_what_a_dead_one_left_and_not_what_a_living_one_has(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, used = (tmp_path / f"reconcile-simulator-{pid}-x" for pid in (dead.pid, os.getpid()))
    left.mkdir()
    used.mkdir()

    remove_folders_of_the_dead(tmp_path)

    assert (left.exists(), used.exists()) == (False, True)
