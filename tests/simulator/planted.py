"""The checker is checked: mistakes of one line, planted into copies of the product, each of which must be found.

Each names the story in which it shows, and, if it takes a fault to show it, which one and in which script.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulator.folder import IN_FOLDER, folder_of_process

REPOSITORY = Path(__file__).resolve().parents[2]
HUNT_SECONDS = 540


@dataclass(frozen=True)
class Planted:
    """`old` stands once in the file, and becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    story: str = "upgrade"
    kinds: str = ""  # comma between; "" when the undisturbed story shows it; or a special story, a seed, or the menu
    verb: str = ""
    command: str = ""  # part of a command before which the fault strikes

    @property
    def floor(self) -> str:
        return "scripts" if self.file.endswith(".sh") else self.file.split("/")[0]


def _read() -> tuple[Planted, ...]:
    records = tomllib.loads(Path(__file__).with_name("planted.toml").read_text())
    return tuple(Planted(**record) for record in records["planted"])


PLANTED = _read()


def by_name(name: str) -> Planted:
    return next(each for each in PLANTED if each.name == name)


@contextmanager
def planted_copy(bug: Planted) -> Iterator[Path]:
    """A folder with a copy of the product in which the mistake is."""
    with tempfile.TemporaryDirectory(prefix="planted-", dir=folder_of_process()) as folder:
        package = Path(folder) / "reconciler"
        shutil.copytree(REPOSITORY / "reconciler", package, ignore=shutil.ignore_patterns("__pycache__"))
        path = package / bug.file
        text = path.read_text()
        if text.count(bug.old) != 1:
            raise ValueError(f"{bug.name}: what it changes stands {text.count(bug.old)} times in {bug.file}")
        path.write_text(text.replace(bug.old, bug.new))
        yield Path(folder)


def hunt(bug: Planted) -> str:
    """By which oracle it was found; "" when it was not."""
    with planted_copy(bug) as folder:
        program = (
            f"import sys; sys.path[:0] = [{str(folder)!r}]; sys.dont_write_bytecode = True; "
            f"from tests.simulator.hunting import main; main({bug.name!r})"
        )
        environment = os.environ | {IN_FOLDER: str(folder_of_process())}
        command = [sys.executable, "-c", program]
        try:
            done = subprocess.run(
                command, cwd=REPOSITORY, capture_output=True, text=True, timeout=HUNT_SECONDS, env=environment
            )
        except subprocess.TimeoutExpired:
            return f"crash: no end within {HUNT_SECONDS} s"
    said = done.stdout.strip().splitlines()
    if done.returncode or not said:
        return f"crash: {done.stderr.strip()[-300:]}"
    return said[-1].removeprefix("found by ").removeprefix("not found")
