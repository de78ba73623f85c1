"""Why a program of this machine could not be started."""

from __future__ import annotations

import os
from pathlib import Path


def is_missing(program: str, error: OSError) -> bool:
    """True if `error`, raised when `program` was started, means that it is not installed.

    The kernel's answer alone does not tell: with a folder in PATH that this user may not search, a program that is in
    no folder of PATH ends in "Permission denied".
    """
    if not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
        return False
    if not _is_about(error, program):
        return False
    if "/" in program:
        return not isinstance(error, PermissionError) and not Path(program).is_file()
    return not any(_is_file(Path(folder, program)) for folder in os.get_exec_path())


def why_not_started(program: str, error: OSError) -> str:
    """The end of a sentence "`program` cannot be run: …"."""
    if is_missing(program, error):
        return "it is not installed"
    if isinstance(error, FileNotFoundError) and _is_about(error, program):
        return "the interpreter that its first line names does not exist"
    return error.strerror or type(error).__name__


def _is_about(error: OSError, program: str) -> bool:
    """False if the error is about another file, such as the folder in which the program was to run."""
    return error.filename is None or os.fsdecode(error.filename) == program


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        return False
