"""Which commit came before which, as far as a repository knows. A shallow one does not know all, and says so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from reconciler.desired_state.git.ask import Bounds, ask_git
from reconciler.errors import GitError

_READING: Final = Bounds(seconds=60, output_bytes=256 * 1024 * 1024)


class Direction(Enum):
    """The way from one commit to another."""

    SAME = "same"
    FORWARD = "forward"
    BACK = "back"  # to an ancestor
    ASIDE = "aside"  # to another line, as after a forced push
    UNKNOWN = "unknown"  # the history that would tell is not here


@dataclass(frozen=True)
class History:
    """Commits and their parents. `cut` names those whose parents are not here, although they have some."""

    parents: Mapping[str, tuple[str, ...]]
    cut: frozenset[str] = frozenset()

    def ancestors(self, *commits: str) -> set[str]:
        """These commits and all their known ancestors."""
        return _find_reachable(commits, self.parents)

    def direction(self, new: str, old: str) -> Direction:
        """The way from `old` to `new`; never a guess."""
        if new == old:
            return Direction.SAME
        if new not in self.parents or old not in self.parents:
            return Direction.UNKNOWN
        below_old, below_new = self.ancestors(old), self.ancestors(new)
        if new in below_old:
            return Direction.BACK
        if old in below_new:
            return Direction.FORWARD
        # Below a cut anything may lie, but not what itself lies above that cut.
        decidable = below_old & self.cut <= below_new and below_new & self.cut <= below_old
        return Direction.ASIDE if decidable else Direction.UNKNOWN

    def commits_between(self, commit: str, since: str) -> frozenset[str] | None:
        """Every commit that `commit` has and `since` has not; None when the history here cannot tell."""
        if commit not in self.parents or since not in self.parents:
            return None
        known = self.ancestors(since)
        found = self.ancestors(commit) - known
        if found & self.cut:
            return None
        children = self._children() if known & self.cut else {}
        # What is above a cut of `since` cannot also be below it, so it is new for certain.
        if all(found <= _find_reachable((cut,), children) for cut in known & self.cut):
            return frozenset(found)
        return None

    def line(self, commit: str) -> list[str]:
        """The commit and its first parents, as far as they are here."""
        found = []
        while commit in self.parents:
            found.append(commit)
            parents = self.parents[commit]
            if commit in self.cut or not parents:
                break
            commit = parents[0]
        return found

    def _children(self) -> dict[str, tuple[str, ...]]:
        children: dict[str, tuple[str, ...]] = {}
        for commit, parents in self.parents.items():
            for parent in parents:
                children[parent] = (*children.get(parent, ()), commit)
        return children


def _find_reachable(starts: Iterable[str], next_of: Mapping[str, tuple[str, ...]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        commit = waiting.pop()
        if commit not in reached:
            reached.add(commit)
            waiting += next_of.get(commit, ())
    return reached


async def read_history(repository: Path, *commits: str) -> History:
    """What the repository knows of these commits' past; a commit that is not there is left out."""
    starts = "".join(f"{commit}\n" for commit in commits).encode()
    options = ("-c", "core.commitGraph=false", "rev-list", "--parents", "--ignore-missing", "--stdin")
    answer = await ask_git(*options, folder=repository, stdin=starts, bounds=_READING)
    if answer.code != 0:
        raise GitError(f"git cannot read the history in {repository}: {answer.said}", "try git log there")
    lines = [line.split() for line in answer.output.decode("ascii", "replace").splitlines()]
    place = await ask_git("rev-parse", "--git-path", "shallow", folder=repository)
    shallow = repository / place.output.decode("utf-8", "surrogateescape").rstrip("\n")
    cut = shallow.read_text().split() if place.code == 0 and shallow.is_file() else []
    return History({line[0]: tuple(line[1:]) for line in lines}, frozenset(cut))


async def is_shallow(repository: Path) -> bool:
    """Whether the clone lacks a part of its commits, as one made with a depth does. Raises GitError."""
    asked = await ask_git("rev-parse", "--is-shallow-repository", folder=repository)
    if asked.code != 0:
        raise GitError(f"git cannot read {repository}: {asked.said}", "try git log there")
    return asked.output.strip() != b"false"


async def root_commit(repository: Path) -> str:
    """The first commit of the repository: the same in every clone of it, and in no other repository.

    "" in a shallow clone, where another commit looks like the first. Raises GitError, also without a commit.
    """
    if await is_shallow(repository):
        return ""
    words = ("rev-list", "--max-parents=0", "--first-parent", "HEAD", "--")  # a file may be called HEAD, too
    asked = await ask_git(*words, folder=repository, bounds=_READING)
    if asked.code != 0:
        raise GitError(f"git cannot read the history in {repository}: {asked.said}", "try git log there")
    return asked.output.decode("ascii", "replace").strip()


async def why_behind(repository: Path, new: str, applied: str) -> str:
    """Why `new`, the HEAD of a clone here, is older than `applied`; "" when it is not, or was gone back to on purpose.

    On purpose means that this very clone was at `applied` before, as its reflog tells.
    """
    if new == applied:
        return ""
    asked = await ask_git("merge-base", "--is-ancestor", new, applied, folder=repository)
    if asked.code == 1:
        return ""
    if asked.code == 0:
        been = await ask_git("reflog", "show", "--format=%H", "HEAD", "--", folder=repository)
        if applied.encode() in been.output.split() and not os.environ.get("CI"):
            return ""  # CI checks out one commit after another in the same folder, so there the reflog proves nothing
        return f"commit {new[:7]} is older than {applied[:7]}, which was applied here"
    return f"commit {applied[:7]}, which was applied here, is not in this clone"
