"""The order of commits, as far as a repository knows it. A shallow clone answers "unknown" rather than guess."""

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
    ASIDE = "aside"  # to another line of commits, as after a forced push
    UNKNOWN = "unknown"  # the history needed to decide is not here


@dataclass(frozen=True)
class History:
    """Commits and their parents. `cut` has the commits whose parents are missing here (the edge of a shallow clone)."""

    parents: Mapping[str, tuple[str, ...]]
    cut: frozenset[str] = frozenset()

    def ancestors(self, *commits: str) -> set[str]:
        """The commits themselves and all their known ancestors."""
        return _find_reachable(commits, self.parents)

    def direction(self, new: str, old: str) -> Direction:
        """The way from `old` to `new`; UNKNOWN if the history here does not prove one."""
        if new == old:
            return Direction.SAME
        if new not in self.parents or old not in self.parents:
            return Direction.UNKNOWN
        below_old, below_new = self.ancestors(old), self.ancestors(new)
        if new in below_old:
            return Direction.BACK
        if old in below_new:
            return Direction.FORWARD
        # The missing history below a cut may contain any commit, except those above that cut.
        decidable = below_old & self.cut <= below_new and below_new & self.cut <= below_old
        return Direction.ASIDE if decidable else Direction.UNKNOWN

    def commits_between(self, commit: str, since: str) -> frozenset[str] | None:
        """Commits that are reachable from `commit` but not from `since`; None if the history here is incomplete."""
        if commit not in self.parents or since not in self.parents:
            return None
        known = self.ancestors(since)
        found = self.ancestors(commit) - known
        if found & self.cut:
            return None
        children = self._children() if known & self.cut else {}
        # A commit above a cut of `since` cannot also be below that cut, so it is certainly new.
        if all(found <= _find_reachable((cut,), children) for cut in known & self.cut):
            return frozenset(found)
        return None

    def line(self, commit: str) -> list[str]:
        """The commit and its chain of first parents, the newest first, as far as they are here."""
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
    """Read the history of these commits. A commit that the repository does not have is left out. Raises GitError."""
    starts = "".join(f"{commit}\n" for commit in commits).encode()
    options = ("-c", "core.commitGraph=false", "rev-list", "--parents", "--ignore-missing", "--stdin")
    answer = await ask_git(*options, folder=repository, stdin=starts, bounds=_READING)
    if answer.code != 0:
        raise GitError(f"git cannot read the history in {repository}: {answer.complaint}", "try git log there")
    lines = [line.split() for line in answer.output.decode("ascii", "replace").splitlines()]
    path = await ask_git("rev-parse", "--git-path", "shallow", folder=repository)
    shallow = repository / path.output.decode("utf-8", "surrogateescape").rstrip("\n")
    cut = shallow.read_text().split() if path.code == 0 and shallow.is_file() else []
    return History({line[0]: tuple(line[1:]) for line in lines}, frozenset(cut))


async def is_shallow(repository: Path) -> bool:
    """True if some of the clone's commits are missing, as after `git clone --depth`. Raises GitError."""
    answer = await ask_git("rev-parse", "--is-shallow-repository", folder=repository)
    if answer.code != 0:
        raise GitError(f"git cannot read {repository}: {answer.complaint}", "try git log there")
    return answer.output.strip() != b"false"


async def root_commit(repository: Path) -> str:
    """Return the id of the repository's first commit: the same in every clone, and different in other repositories.

    "" in a shallow clone, where another commit looks like the first. Raises GitError, also if there is no commit.
    """
    if await is_shallow(repository):
        return ""
    words = ("rev-list", "--max-parents=0", "--first-parent", "HEAD", "--")  # "--": there may be a file named HEAD
    answer = await ask_git(*words, folder=repository, bounds=_READING)
    if answer.code != 0:
        raise GitError(f"git cannot read the history in {repository}: {answer.complaint}", "try git log there")
    return answer.output.decode("ascii", "replace").strip()


async def why_behind(repository: Path, new: str, applied: str) -> str:
    """The reason why `new`, the HEAD of this clone, may not replace `applied`; "" if it may.

    It may not if it is older or if `applied` is unknown here. Going back on purpose is allowed: the reflog then shows
    that this clone was at `applied` before.
    """
    if new == applied:
        return ""
    answer = await ask_git("merge-base", "--is-ancestor", new, applied, folder=repository)
    if answer.code == 1:
        return ""
    if answer.code == 0:
        reflog = await ask_git("reflog", "show", "--format=%H", "HEAD", "--", folder=repository)
        if applied.encode() in reflog.output.split() and not os.environ.get("CI"):
            return ""  # not in CI: it checks out one commit after another in one folder, so the reflog proves nothing
        return f"commit {new[:7]} is older than {applied[:7]}, which was applied here"
    return f"commit {applied[:7]}, which was applied here, is not in this clone"
