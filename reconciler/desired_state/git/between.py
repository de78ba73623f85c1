"""The commits between two others: where two lines of commits part, and what the commits in between are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.desired_state.git.ask import Bounds, ask_git
from reconciler.desired_state.git.history import is_shallow
from reconciler.errors import GitError
from reconciler.words import printable

_BOUNDS: Final = Bounds(seconds=60, output_bytes=4 * 1024 * 1024)
_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LONGEST_SUBJECT: Final = 100
WHOLE_HISTORY = (
    "git fetch --unshallow; in CI get all commits: fetch-depth: 0 under with: of actions/checkout, or "
    'GIT_DEPTH: "0" under variables: of GitLab'
)


@dataclass(frozen=True)
class Commit:
    """One commit, with the first line of its message, which is safe to print."""

    id: str
    subject: str


@dataclass(frozen=True)
class Commits:
    """The newest of some commits, newest first, and how many there are in all."""

    newest: tuple[Commit, ...]
    total: int


async def find_commit(repository: Path, ref: str) -> str:
    """Return the id of the commit that `ref` names. Raises GitError, which says so if the clone is shallow."""
    if not ref or ref.startswith("-") or not ref.isprintable() or len(ref) > 250:
        raise GitError(f"{printable(ref, 60)!r} is not the name of a commit", "name a branch, a tag or a commit id")
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    answer = await ask_git(*words, folder=repository, bounds=_BOUNDS)
    found = answer.output.decode("ascii", "replace").strip()
    if answer.code == 0 and _ID.fullmatch(found):
        return found
    if "dubious ownership" in answer.complaint:
        next_step = f"run as its owner, or git config --global --add safe.directory {repository}"
        raise GitError(f"git refuses to read {repository}: it belongs to another user", next_step)
    if answer.complaint and "Needed a single revision" not in answer.complaint:
        raise GitError(f"git cannot read {repository}: {answer.complaint}", "try git log there")
    if await is_shallow(repository):
        raise GitError(f"there is no commit {ref} in {repository}, which is a shallow clone", WHOLE_HISTORY)
    next_step = f"see git branch -a; a branch that exists only on the remote is origin/{ref}"
    raise GitError(f"there is no commit {ref} in {repository}", next_step)


async def find_merge_base(repository: Path, one: str, other: str) -> str | None:
    """Return the newest commit that both lines of commits have, None if they have none. Raises GitError."""
    answer = await ask_git("merge-base", one, other, folder=repository, bounds=_BOUNDS)
    found = answer.output.decode("ascii", "replace").split()
    if answer.code == 0 and found and _ID.fullmatch(found[0]):
        return found[0]
    if answer.code != 1:
        raise GitError(f"git cannot read the history in {repository}: {answer.complaint}", "try git log there")
    if await is_shallow(repository):
        message = f"{repository} is a shallow clone, without the commit where {one[:7]} and {other[:7]} part"
        raise GitError(message, WHOLE_HISTORY)
    return None


async def commits_between(
    repository: Path, old: str, new: str, most: int, paths: tuple[str, ...] = ()
) -> Commits | None:
    """Return the commits of `new` that `old` does not have and that touch one of these paths, if there are any.

    None if the clone lacks one of the two.
    """
    if not (_ID.fullmatch(old) and _ID.fullmatch(new)):
        return None
    range_ = (f"{old}..{new}", "--", *paths)
    count = await ask_git("--literal-pathspecs", "rev-list", "--count", *range_, folder=repository, bounds=_BOUNDS)
    if count.code != 0 or not count.output.strip().isdigit():
        return None
    # `reference` formats and notes could be configured to do more; this one prints two fields and no signature.
    words = ("log", "--no-notes", "--no-show-signature", f"--max-count={most}", "--format=%H %s", *range_)
    answer = await ask_git("--literal-pathspecs", *words, folder=repository, bounds=_BOUNDS)
    if answer.code != 0:
        return None
    lines = [line.partition(" ") for line in answer.output.decode("utf-8", "replace").split("\n")]
    newest = tuple(Commit(id, printable(subject, LONGEST_SUBJECT)) for id, _, subject in lines if _ID.fullmatch(id))
    return Commits(newest, int(count.output))
