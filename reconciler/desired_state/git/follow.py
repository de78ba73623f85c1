"""Which commit of a remote branch counts now. What is refused or cannot be asked leaves the last one in force.

Kept from run to run, beside the mirror: the last commit that counted and whether its signature was checked.
Losing that costs time, and the check of what came in since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from reconciler.desired_state.git.commit import CommitRefused
from reconciler.desired_state.git.history import Direction, History
from reconciler.desired_state.git.remote import Remote
from reconciler.desired_state.git.signatures import Signers, read_signers, verify
from reconciler.errors import GitError
from reconciler.files import write_whole


@dataclass(frozen=True)
class Revision:
    """The commit that counts. `problem` says why it is not the newest one of the branch, if it is not."""

    commit: str
    mirror: Path
    folder: PurePosixPath
    notes: tuple[str, ...] = ()
    problem: GitError | None = None


class Follower:
    """Follows a branch. Without `allow_step_back` it never goes to an ancestor of what was applied."""

    def __init__(self, remote: Remote, allowed_signers: Path | None = None, allow_step_back: bool = False) -> None:
        self.remote = remote
        self._allowed_signers = allowed_signers
        self._allow_step_back = allow_step_back
        self._file = remote.cache / f"{remote.key}.json"
        self._counts: Revision | None = None
        self._signers: Signers | None = None  # those that `_counts` was judged by
        self._forward: set[tuple[str, str]] = set()  # (commit, applied) that are no step back
        self._refused: tuple[object, GitError] | None = None

    async def find_newest(self, applied: Sequence[str] = ()) -> Revision:
        """The tip of the branch if it may be followed; else the last one that was, with the problem.

        `applied`: the commits that the hosts had last, the newest first. Raises GitError when no earlier
        commit is left to stand on; then nothing may be changed. When nothing is new this asks git once.
        """
        here = Path(self.remote.address.url) if self.remote.address.protocols == "file" else None
        signers = read_signers(self._allowed_signers, here) if self._allowed_signers else None
        try:
            tip = await self.remote.tip()
        except GitError as problem:
            return await self._fall_back(problem, applied, signers)
        if self._is_current(tip, applied, signers) and self._counts:
            return self._counts
        question = (tip, tuple(applied), signers)
        if self._refused and self._refused[0] == question:  # no need to judge it again at every poll
            return await self._fall_back(self._refused[1], applied, signers)
        try:
            self._counts = await self._judge(tip, applied, signers)
            self._signers = signers
        except GitError as problem:
            if isinstance(problem, CommitRefused):
                problem.revision = tip
                self._refused = (question, problem)
            return await self._fall_back(problem, applied, signers)
        return self._counts

    def forget(self) -> None:
        """Read the mirror afresh next time; for when a commit in it could not be loaded."""
        self._counts = None

    def _is_current(self, commit: str, applied: Sequence[str], signers: Signers | None) -> bool:
        """Whether this commit counts already, by the same list of signers, and is ahead of all that was applied."""
        ahead = all(old == commit or (commit, old) in self._forward for old in applied)
        counts = self._counts is not None and self._counts.commit == commit and self._signers == signers
        return counts and ahead and self.remote.mirror.is_dir()

    async def _judge(self, commit: str, applied: Sequence[str], signers: Signers | None) -> Revision:
        await self.remote.fetch(commit)
        last, verified = self._recall()
        notes = []
        for old in dict.fromkeys((*((last,) if last else ()), *applied)):
            if note := await self._check_direction(commit, old):
                notes.append(note)
        if signers:
            notes.append(await self._check_signatures(commit, signers, verified or next(iter(applied), None)))
        self._remember(commit, bool(signers))
        return Revision(commit, self.remote.mirror, self.remote.folder, tuple(notes))

    async def _check_direction(self, new: str, old: str) -> str | None:
        """A note for what is unusual; CommitRefused for a way back."""
        if new == old or (new, old) in self._forward:
            return None
        history = await self.remote.history(new, old, lambda known: known.direction(new, old) is not Direction.UNKNOWN)
        way = history.direction(new, old)
        if way in (Direction.BACK, Direction.UNKNOWN) and not self._allow_step_back:
            raise self._step_back_error(new, old, way)
        self._forward.add((new, old))
        if way is Direction.BACK:
            return f"{self.remote.name} went back from {old[:7]} to {new[:7]}, as allowed"
        if way is Direction.FORWARD:
            return None
        return f"{self.remote.name} was rewritten: {new[:7]} does not come after {old[:7]}"

    async def line(self, commit: str, most: int) -> list[str]:
        """The commits before this one on its branch, the newest first, at most so many. Raises GitError."""

        def enough(history: History) -> bool:
            line = history.line(commit)
            return len(line) >= most or (bool(line) and line[-1] not in history.cut)

        return (await self.remote.history(commit, commit, enough)).line(commit)[1:most]

    async def why_behind(self, commit: str, applied: str) -> str:
        """Why this commit may not follow `applied`; "" when it may."""
        try:
            await self._check_direction(commit, applied)
        except CommitRefused as refused:
            return str(refused)
        return ""

    def _step_back_error(self, new: str, old: str, way: Direction) -> CommitRefused:
        if way is Direction.BACK:
            problem = f"is at {new[:7]}, which is older than {old[:7]}, followed before"
            next_step = "if this is a mirror that lags, wait; to go back make a new commit (git revert)"
        else:
            problem = f"is at {new[:7]} and does not have {old[:7]}, followed before"
            next_step = "if this is a mirror that lags, wait; if that commit was never pushed, push it"
        return CommitRefused(f"{self.remote.name} {problem}", f"{next_step}; or pass --allow-step-back")

    async def _check_signatures(self, commit: str, signers: Signers, since: str | None) -> str:
        if since is not None:
            start = since
            known = await self.remote.history(
                commit, start, lambda past: past.commits_between(commit, start) is not None
            )
            if self._allow_step_back and known.commits_between(commit, start) is None:
                since = None  # the past was rewritten and is gone; the note says what is left unchecked
        return await verify(self.remote.mirror, commit, signers.path, since)

    async def _fall_back(self, problem: GitError, applied: Sequence[str], signers: Signers | None) -> Revision:
        """The one that counted before, if it still may."""
        if self._counts is None:
            last, _ = self._recall()
            if last is None:
                raise problem
            try:
                self._counts, self._signers = await self._judge(last, applied, signers), signers
            except GitError:
                raise problem from None
        if not self._is_current(self._counts.commit, applied, signers):
            raise problem
        return replace(self._counts, notes=(), problem=problem)

    def _recall(self) -> tuple[str | None, str | None]:
        """The last commit that counted, and the last one whose signature was checked."""
        try:
            kept = json.loads(self._file.read_bytes())
            return str(kept["commit"]), kept["verified"] and str(kept["verified"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, None

    def _remember(self, commit: str, verified: bool) -> None:
        text = json.dumps({"commit": commit, "verified": commit if verified else None})
        try:
            write_whole(self._file, f"{text}\n".encode())
        except OSError as error:
            raise GitError(f"{self._file} cannot be written: {error.strerror}", "make room there") from error
