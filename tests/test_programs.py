"""programs.py: a program that is missing is told from one that may not be run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.programs import is_missing, why_not_started

NOBODY = 65534


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of PATH, after one that this user may not search."""
    with tempfile.TemporaryDirectory() as top:
        searchable, unsearchable = Path(top, "searchable"), Path(top, "unsearchable")
        searchable.mkdir()
        unsearchable.mkdir(mode=0)
        for path in (top, searchable):
            Path(path).chmod(0o755)
        monkeypatch.setenv("PATH", f"{unsearchable}:{searchable}:/usr/bin:/bin")
        yield searchable


def start(program: str, cwd: str = "/") -> OSError:
    """The error of starting it as an ordinary user, whom unlike root a folder can stop."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(OSError) as caught:
            subprocess.run([program], cwd=cwd, check=False)
    finally:
        if root:
            os.seteuid(0)
    return caught.value


def test_a_program_in_no_folder_of_path_is_missing(folder: Path) -> None:
    """Also where exec says "Permission denied" of the folder that may not be searched."""
    error = start("no-such-store")

    assert isinstance(error, PermissionError)
    assert is_missing("no-such-store", error)
    assert why_not_started("no-such-store", error) == "it is not installed"


def test_a_path_to_no_file_is_missing(folder: Path) -> None:
    path = str(folder / "no-such-store")

    assert is_missing(path, start(path))


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("#!/no/such/sh\n", 0o755, "the interpreter that its first line names does not exist"),
        ("\x7fELF", 0o755, "Exec format error"),
    ],
)
def test_a_program_that_is_there_and_cannot_be_run_is_not_missing(folder: Path, text: str, mode: int, why: str) -> None:
    path = folder / "store"
    path.write_text(text)
    path.chmod(mode)

    assert not is_missing("store", start("store"))
    assert why_not_started(str(path), start(str(path))) == why


def test_a_folder_to_run_in_that_is_forbidden_or_gone_does_not_make_a_program_missing(folder: Path) -> None:
    for place, why in (("unsearchable", "Permission denied"), ("gone", "No such file or directory")):
        error = start("true", cwd=str(folder.parent / place))
        assert not is_missing("true", error)
        assert why_not_started("true", error) == why
