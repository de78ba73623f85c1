"""Who made a commit and how they put it, and which commit changed each app last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from reconciler.desired_state.git.ask import Bounds, ask_git
from reconciler.desired_state.git.commit import find_repository
from reconciler.errors import GitError
from reconciler.model.desired import Desired
from reconciler.words import printable

FARTHEST_BACK: Final = 500  # commits
_BOUNDS: Final = Bounds(seconds=20, output_bytes=8 * 1024 * 1024)
_FORMAT: Final = "%x00%H%x00%an%x00%ct%x00%s%x00"  # none of these can contain a NUL


@dataclass(frozen=True)
class Described:
    """A commit. The texts are one printable line each."""

    revision: str
    author: str
    at_epoch_seconds: float
    subject: str


@dataclass(frozen=True)
class Descriptions:
    """The commit in use, and the newest one that changed the file of each app, as far back as we looked."""

    head: Described | None = None
    by_app: Mapping[str, Described] = field(default_factory=dict)


async def describe(desired: Desired) -> Descriptions:
    """Describe the commit of this desired state. Empty if it was read from files, or if git does not answer."""
    repository = desired.mirror or find_repository(desired.folder)
    if desired.revision is None or repository is None:
        return Descriptions()
    inside = desired.inside if desired.mirror else _path_in(repository, desired.folder)
    folder = (PurePosixPath(inside or ".") / "apps").as_posix()
    try:
        head = await _log(repository, "--max-count=1", desired.revision)
        changed = await _log(
            repository, f"--max-count={FARTHEST_BACK}", "--name-only", desired.revision, "--", f":(top,literal){folder}"
        )
    except GitError:
        return Descriptions()
    return Descriptions(next((commit for commit, _ in read_log(head)), None), _by_app(read_log(changed), folder))


async def _log(repository: Path, *words: str) -> bytes:
    """What git prints of these commits; nothing if it fails: a page does without."""
    fixed = ("log", "--no-renames", "--no-show-signature", "--no-mailmap", f"--format={_FORMAT}")
    rest = words if "--" in words else (*words, "--")
    answer = await ask_git(*fixed, *rest, folder=repository, bounds=_BOUNDS)
    return answer.output if answer.code == 0 else b""


def _by_app(log: list[tuple[Described, list[str]]], folder: str) -> dict[str, Described]:
    found: dict[str, Described] = {}
    for commit, names in log:
        for path in map(PurePosixPath, names):
            if path.suffix == ".yaml" and path.parent == PurePosixPath(folder):
                found.setdefault(path.stem, commit)
    return found


def read_log(output: bytes) -> list[tuple[Described, list[str]]]:
    """Read what git printed: each commit, newest first, and the files that it changed."""
    tokens = output.decode("utf-8", "replace").split("\0")[1:]
    found = []
    for start in range(0, len(tokens) - 4, 5):
        revision, author, at, subject, files = tokens[start : start + 5]
        if at.isascii() and at.isdigit() and len(at) <= 12:
            commit = Described(revision, printable(author, 80), float(at), printable(subject, 160))
            found.append((commit, [name for name in files.split("\n") if name]))
    return found


def _path_in(repository: Path, folder: Path) -> str:
    path = folder.resolve().relative_to(repository.resolve()).as_posix()
    return "" if path == "." else path
