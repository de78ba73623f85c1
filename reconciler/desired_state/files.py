"""The files that make up the desired state, found and read in a folder or in a commit.

These are `fleet.yaml`, `apps/*.yaml`, `environments/*.yaml` and the encrypted files below `secrets/`, nothing else.
Symbolic links are refused: every file must be in the folder itself, so that the commit that people review is complete.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from reconciler.desired_state.yaml_text import DEEPEST, LARGEST_FILE
from reconciler.errors import Problem

FLEET = "fleet.yaml"
SECRETS = "secrets"
ENVIRONMENTS = "environments"
RECIPIENTS = "recipients.txt"
MOST_FILES = 2000
MOST_ENVIRONMENTS = 50
_CHECK = "check who may read it, and that it is an ordinary file or folder"

Kind = Literal["file", "folder", "link", "other"]


class Tree(Protocol):
    """A desired-state folder, on disk or in a commit. Names are relative to it, with `/` between parts."""

    def entries(self, folder: str) -> dict[str, Kind] | None:
        """Name and kind of each entry of the folder ("" is the top), or None if it does not exist. Raises OSError."""

    def read(self, name: str) -> bytes:
        """The file's bytes, at most one more than LARGEST_FILE: enough to see that it is too large. Raises OSError."""


@dataclass(frozen=True)
class Written:
    """The files that were found, by name, and the problems with them."""

    files: Mapping[str, bytes]
    problems: tuple[Problem, ...] = ()
    absent: bool = False  # the folder does not exist


def secret_files(written: Written) -> dict[str, bytes]:
    """The files below `secrets/`, by their names relative to it."""
    start = f"{SECRETS}/"
    return {name.removeprefix(start): content for name, content in written.files.items() if name.startswith(start)}


class FolderTree:
    """The desired-state folder on disk, as it is now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self, folder: str) -> dict[str, Kind] | None:
        try:
            with os.scandir(self.folder / folder) as found:
                return {entry.name: _kind(entry) for entry in found}
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        # The file may have become a link or a pipe since it was listed: do not follow a link, do not block on a pipe.
        handle = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError("it is not a regular file")
            return file.read(LARGEST_FILE + 1)


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "folder" if entry.is_dir(follow_symlinks=False) else "other"


def collect(tree: Tree, label: str) -> Written:
    """Read every file of the desired state. Problems name files as `<label>/<name>`: the folder as people typed it."""
    problems: list[Problem] = []
    try:
        top = tree.entries("")
        if top is None:
            next_step = "create it, with one apps/<app>.yaml for each app, or name another with --desired-state"
            return Written({}, (Problem(label, 0, 0, "", "there is no such folder", next_step),), absent=True)
        names = [name for name in (FLEET, "fleet.yml") if name in top and _is_app_file(name, top, label, problems)]
        names += _app_files(tree, top, label, problems)
        names += _environment_files(tree, top, label, problems)
        names += _secret_files(tree, top, label, problems)
    except OSError as error:
        return Written({}, (Problem(label, 0, 0, "", f"cannot be read: {error.strerror or error}", _CHECK),))
    return _read_all(tree, names, label, problems)


def collect_secrets(tree: Tree, label: str) -> Written:
    """Read only the files below `secrets/`, for the commands that change them."""
    problems: list[Problem] = []
    try:
        names = _secret_files(tree, tree.entries("") or {}, label, problems)
    except OSError as error:
        return Written({}, (Problem(label, 0, 0, "", f"cannot be read: {error.strerror or error}", _CHECK),))
    return _read_all(tree, names, label, problems)


def _read_all(tree: Tree, names: list[str], label: str, problems: list[Problem]) -> Written:
    files: dict[str, bytes] = {}
    for name in names:
        try:
            files[name] = tree.read(name)
            if name.startswith(f"{SECRETS}/") and len(files[name]) > LARGEST_FILE:
                raise OSError("it is larger than 1 MiB")
        except OSError as error:
            problems.append(Problem(f"{label}/{name}", 0, 0, "", f"cannot be read: {error.strerror or error}", _CHECK))
    return Written(files, tuple(problems))


def _app_files(tree: Tree, top: dict[str, Kind], label: str, problems: list[Problem]) -> list[str]:
    if "apps" in top and top["apps"] != "folder":
        problems.append(_wrong_kind_problem("folder", f"{label}/apps", top["apps"]))
        return []
    apps = tree.entries("apps") or {}
    names = sorted(name for name in apps if _is_app_file(name, apps, f"{label}/apps", problems))
    if len(names) > MOST_FILES:
        message = f"holds {len(names)} app files (at most {MOST_FILES})"
        problems.append(Problem(f"{label}/apps", 0, 0, "", message, "keep one file for each app"))
        return []
    if not names and not problems:
        # An empty desired state would mean "remove every app". Refuse it: it is far more likely a mistake.
        next_step = f"write one as {label}/apps/<app>.yaml; an empty desired state is taken for a mistake"
        problems.append(Problem(f"{label}/apps", 0, 0, "", "there is no app file", next_step))
    return [f"apps/{name}" for name in names]


def _environment_files(tree: Tree, top: dict[str, Kind], label: str, problems: list[Problem]) -> list[str]:
    if top.get(ENVIRONMENTS, "folder") != "folder":
        problems.append(_wrong_kind_problem("folder", f"{label}/{ENVIRONMENTS}", top[ENVIRONMENTS]))
        return []
    found = (tree.entries(ENVIRONMENTS) or {}) if ENVIRONMENTS in top else {}
    names = sorted(name for name in found if _is_app_file(name, found, f"{label}/{ENVIRONMENTS}", problems))
    if len(names) > MOST_ENVIRONMENTS:
        message = f"holds {len(names)} environments (at most {MOST_ENVIRONMENTS})"
        problems.append(Problem(f"{label}/{ENVIRONMENTS}", 0, 0, "", message, "give some a desired state of their own"))
        return []
    return [f"{ENVIRONMENTS}/{name}" for name in names]


def _secret_files(tree: Tree, top: dict[str, Kind], label: str, problems: list[Problem]) -> list[str]:
    """Names of the encrypted files and of the list of recipients, at any depth. Nothing is decrypted here."""
    if top.get(SECRETS, "folder") != "folder":
        problems.append(_wrong_kind_problem("folder", f"{label}/{SECRETS}", top[SECRETS]))
        return []
    found: list[str] = []
    folders = [SECRETS] if SECRETS in top else []
    while folders and len(found) <= MOST_FILES:
        folder = folders.pop()
        for name, kind in sorted((tree.entries(folder) or {}).items()):
            path = f"{folder}/{name}"
            if name.startswith(".") or not name.isprintable():
                continue
            if kind == "folder" and path.count("/") < DEEPEST:
                folders.append(path)
            elif kind == "link" or (kind != "file" and _holds_secrets(name)):
                problems.append(_wrong_kind_problem("file", f"{label}/{path}", kind))
            elif _holds_secrets(name):
                found.append(path)
    if len(found) > MOST_FILES:
        message = f"holds more than {MOST_FILES} files"
        problems.append(Problem(f"{label}/{SECRETS}", 0, 0, "", message, "keep only the files that apps name"))
        return []
    return sorted(found)


def _holds_secrets(name: str) -> bool:
    return name == RECIPIENTS or name.endswith((".age", ".yaml", ".yml", ".json"))


def _is_app_file(name: str, entries: dict[str, Kind], label: str, problems: list[Problem]) -> bool:
    """True if the entry is a desired-state file. Adds a problem if it only looks like one."""
    stem, dot, suffix = name.rpartition(".")
    if name.startswith(".") or not dot or suffix.lower() not in ("yaml", "yml"):
        return False
    if not name.isprintable():
        path = f"{label}/{ascii(name)[1:-1]}"
        problems.append(Problem(path, 0, 0, "", "is not a name for an app file", "rename it to <app>.yaml"))
        return False
    if suffix != "yaml":
        problems.append(Problem(f"{label}/{name}", 0, 0, "", "is not read", f"rename it to {stem}.yaml"))
        return False
    if entries[name] != "file":
        problems.append(_wrong_kind_problem("file", f"{label}/{name}", entries[name]))
        return False
    return True


def _wrong_kind_problem(wanted: str, path: str, kind: Kind) -> Problem:
    if kind == "link":
        return Problem(path, 0, 0, "", "is a symbolic link, which is not followed", f"put the {wanted} itself here")
    return Problem(path, 0, 0, "", f"is not a {wanted}", "move it away")
