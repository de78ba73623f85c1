"""The desired state at two commits, for a plan that no host is asked for. A commit may be a stranger's: it is data.

Both are read from git's objects, so that no hook, filter, attribute or link of the repository has a say. A file that is
not valid is left out on its side, and its problems are told.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from reconciler.desired_state.environments import environment_file
from reconciler.desired_state.files import FLEET, FolderTree, Kind, Tree, Written, collect
from reconciler.desired_state.git.between import Commits, commits_between, find_commit, find_merge_base
from reconciler.desired_state.git.commit import find_repository, open_commit_at, open_mirror
from reconciler.desired_state.load import build
from reconciler.desired_state.parts import ReadApps
from reconciler.errors import InvalidDesiredState, Problem, UsageError
from reconciler.model.desired import Desired, Fleet
from reconciler.model.environment import PRODUCTION

MOST_BYTES = 16 * 1024 * 1024  # of one side
MOST_COMMITS = 20  # whose subjects are kept
FILES = "the files on disk"


@dataclass(frozen=True)
class TwoStates:
    """The desired state before and after a change, with the problems of each side in `Desired.invalid`."""

    before: Desired
    after: Desired
    from_ref: str  # as people named it
    to_ref: str
    commits: Commits | None  # those of the change, None if it is not made of commits
    newer: int  # commits of `from_ref` that the change does not have

    @property
    def unreadable(self) -> frozenset[str]:
        """The apps whose file is not valid on one side: nothing can be said about them."""
        files = {problem.file.partition("@")[0] for desired in (self.before, self.after) for problem in desired.invalid}
        return frozenset(PurePosixPath(file).stem for file in files if PurePosixPath(file).parent.name == "apps")


async def read_two_states(folder: Path, from_ref: str | None, to_ref: str | None, environment: str = "") -> TwoStates:
    """Read the folder at both commits; without `to_ref` the second is the files on disk. Raises GitError, UsageError.

    As in a pull request, the first is where the two lines of commits part: commits that only `from_ref` has are not
    undone in the plan.
    """
    root, inside = place_in_repository(folder)
    old = await find_commit(root, "HEAD" if from_ref is None else from_ref)
    new = await find_commit(root, "HEAD" if to_ref is None else to_ref)
    base = await find_merge_base(root, old, new) or old
    commits = None if to_ref is None else await commits_between(root, base, new, MOST_COMMITS)
    newer = await commits_between(root, base, old, 0)
    before, after = await asyncio.to_thread(
        _read_both, Place(root, inside, environment=environment), base, None if to_ref is None else new
    )
    return TwoStates(before, after, from_ref or "HEAD", to_ref or FILES, commits, newer.total if newer else 0)


@dataclass(frozen=True)
class Place:
    """The place of a desired state in git: a repository with files, or a bare mirror, and the folder in it."""

    root: Path
    inside: PurePosixPath
    bare: bool = False
    environment: str = ""


def place_of(desired: Desired) -> Place | None:
    """Return where this desired state was read from; None if that was files that no commit vouches for."""
    if desired.revision is None:
        return None
    if desired.mirror is not None:
        return Place(desired.mirror, PurePosixPath(desired.inside), bare=True, environment=desired.environment)
    folder, root = Path(os.path.realpath(desired.folder)), find_repository(desired.folder)
    if root is None:
        return None
    return Place(root, PurePosixPath(folder.relative_to(root).as_posix()), environment=desired.environment)


def paths_of_app(place: Place, app: str) -> tuple[str, ...]:
    """The files that an app is made of: its own, those of its secrets, and that of the fleet."""
    names: tuple[str, ...] = (
        "fleet.yaml",
        f"apps/{app}.yaml",
        f"secrets/{app}",
        f"secrets/{app}.yaml",
        f"secrets/{app}.json",
    )
    if place.environment:
        names = (*names, environment_file(place.environment))
    return tuple(str(place.inside / name) for name in names)


def read_pair(place: Place, old: str, new: str) -> tuple[Desired, Desired]:
    """Read the desired state at two commits, leaving out what is not valid. Raises GitError if one is not here."""
    return _read_both(place, old, new)


def place_in_repository(folder: Path) -> tuple[Path, PurePosixPath]:
    """Return the repository, and the folder in it, going by names alone: a commit may turn the folder into a link."""
    path = Path(os.path.normpath(Path.cwd() / folder))
    root = next((each for each in (path, *path.parents) if os.path.lexists(each / ".git")), None)
    if root is None:
        raise UsageError(f"{folder} is not in a git repository", "--from and --to compare two commits")
    return root, PurePosixPath(path.relative_to(root).as_posix())


def _read_both(place: Place, base: str, new: str | None) -> tuple[Desired, Desired]:
    old, written = _collect(place, base), _collect(place, new)
    memo: ReadApps = {}
    folder = place.root / place.inside
    before = _read_first(old, folder, base, place, written.files.get(FLEET), memo)
    after = _build(written, folder, new, place, old.files.get(FLEET), memo)
    return before, after


def _collect(place: Place, commit: str | None) -> Written:
    with _open(place, commit) as tree:
        return collect(_Bounded(tree), place.inside.as_posix())


@contextmanager
def _open(place: Place, commit: str | None) -> Iterator[Tree]:
    if commit is None:
        yield FolderTree(place.root / place.inside)
        return
    opener = open_mirror if place.bare else open_commit_at
    with opener(place.root, commit, place.inside) as tree:
        yield tree


def _read_first(
    written: Written, folder: Path, commit: str, place: Place, other: bytes | None, memo: ReadApps
) -> Desired:
    """The side before: no app at all there is where everyone begins, not a mistake."""
    environment = place.environment not in ("", PRODUCTION)
    nothing = environment and environment_file(place.environment) not in written.files
    if written.absent or nothing or not any(name.startswith("apps/") for name in written.files):
        return Desired(Fleet(), (), commit, folder)
    desired = _build(written, folder, commit, place, other, memo)
    return replace(desired, invalid=tuple(replace(each, file=f"{each.file}@{commit[:7]}") for each in desired.invalid))


def _build(
    written: Written,
    folder: Path,
    commit: str | None,
    place: Place,
    other: bytes | None,
    memo: ReadApps,
) -> Desired:
    """Build what is valid. In place of a fleet.yaml that is not, that of the other side is taken, or none."""
    problems: tuple[Problem, ...] = ()
    others = {name: content for name, content in written.files.items() if name != FLEET}
    attempts = (written, Written({**others, FLEET: other} if other else others), Written(others))
    for attempt in attempts:
        try:
            desired = build(
                attempt,
                folder,
                commit,
                where=place.inside.as_posix(),
                valid_only=True,
                memo=memo,
                environment=place.environment,
            )
        except InvalidDesiredState as error:
            problems = problems or error.problems
        else:
            return replace(desired, invalid=tuple(sorted({*problems, *desired.invalid})))
    return Desired(Fleet(), (), commit, folder, invalid=problems)


class _Bounded:
    """A tree that gives no more than MOST_BYTES in all."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._left = MOST_BYTES

    def entries(self, folder: str) -> dict[str, Kind] | None:
        return self._tree.entries(folder)

    def read(self, name: str) -> bytes:
        content = self._tree.read(name) if self._left > 0 else b""
        self._left -= len(content)
        if self._left <= 0:
            raise OSError(f"the desired state is larger than {MOST_BYTES >> 20} MiB")
        return content
