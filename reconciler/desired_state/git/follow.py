"""Follow a remote branch: decide which of its commits is in force now.

If the newest commit is refused or the remote cannot be reached, the last accepted one stays in force. A file beside
the mirror keeps that commit and whether its signature was checked. Losing the file costs time, and signatures of the
commits since then are not checked.
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
    """The commit in force. `problem` says why it is not the newest one of the branch; None if it is."""

    commit: str
    mirror: Path
    folder: PurePosixPath
    notes: tuple[str, ...] = ()
    problem: GitError | None = None


class Follower:
    """Follows a branch. Without `allow_step_back` it never goes back to an ancestor of an applied commit."""

    def __init__(self, remote: Remote, allowed_signers: Path | None = None, allow_step_back: bool = False) -> None:
        self.remote = remote
        self._allowed_signers = allowed_signers
        self._allow_step_back = allow_step_back
        self._file = remote.cache / f"{remote.key}.json"
        self._in_force: Revision | None = None
        self._signers: Signers | None = None  # the list that `_in_force` was verified with
        self._forward: set[tuple[str, str]] = set()  # pairs (commit, applied) that are not a step back
        self._refused: tuple[object, GitError] | None = None

    async def find_newest(self, applied: Sequence[str] = ()) -> Revision:
        """Return the tip of the branch if it may be followed, else the last accepted commit with the problem.

        `applied` has the commits that the hosts applied last, the newest first. Raises GitError if there is no
        accepted commit either; then nothing may be changed. This asks git only once if there is no new commit.
        """
        here = Path(self.remote.address.url) if self.remote.address.protocols == "file" else None
        signers = read_signers(self._allowed_signers, here) if self._allowed_signers else None
        try:
            tip = await self.remote.tip()
        except GitError as problem:
            return await self._fall_back(problem, applied, signers)
        if self._is_current(tip, applied, signers) and self._in_force:
            return self._in_force
        question = (tip, tuple(applied), signers)
        if self._refused and self._refused[0] == question:  # do not judge it again at every poll
            return await self._fall_back(self._refused[1], applied, signers)
        try:
            self._in_force = await self._judge(tip, applied, signers)
            self._signers = signers
        except GitError as problem:
            if isinstance(problem, CommitRefused):
                problem.revision = tip
                self._refused = (question, problem)
            return await self._fall_back(problem, applied, signers)
        return self._in_force

    def forget(self) -> None:
        """Check the mirror again next time. The caller could not load the commit in force from it."""
        self._in_force = None

    def _is_current(self, commit: str, applied: Sequence[str], signers: Signers | None) -> bool:
        """True if this commit is in force already, by the same list of signers, and behind no applied commit."""
        ahead = all(old == commit or (commit, old) in self._forward for old in applied)
        in_force = self._in_force is not None and self._in_force.commit == commit and self._signers == signers
        return in_force and ahead and self.remote.mirror.is_dir()

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
        """Return a note if the step from `old` to `new` is unusual. Raises CommitRefused for a step back."""
        if new == old or (new, old) in self._forward:
            return None
        history = await self.remote.history(new, old, lambda known: known.direction(new, old) is not Direction.UNKNOWN)
        way = history.direction(new, old)
        if way in (Direction.BACK, Direction.UNKNOWN) and not self._allow_step_back:
            raise self._step_back_error(new, old, way)
        self._forward.add((new, old))
        if way is Direction.BACK:
            return f"{self.remote.name} went back from {old[:7]} to {new[:7]}, as --allow-step-back allows"
        if way is Direction.FORWARD:
            return None
        return f"{self.remote.name} was rewritten: {new[:7]} does not descend from {old[:7]}"

    async def line(self, commit: str, most: int) -> list[str]:
        """Return at most `most - 1` commits before this one on its branch, the newest first. Raises GitError."""

        def enough(history: History) -> bool:
            line = history.line(commit)
            return len(line) >= most or (bool(line) and line[-1] not in history.cut)

        return (await self.remote.history(commit, commit, enough)).line(commit)[1:most]

    async def why_behind(self, commit: str, applied: str) -> str:
        """The reason why this commit may not replace `applied`, or "" if it may. Raises GitError."""
        try:
            await self._check_direction(commit, applied)
        except CommitRefused as refused:
            return str(refused)
        return ""

    def _step_back_error(self, new: str, old: str, way: Direction) -> CommitRefused:
        if way is Direction.BACK:
            problem = f"is at {new[:7]}, which is older than {old[:7]} that was followed before"
            next_step = "if this is a mirror that lags, wait; to go back make a new commit (git revert)"
        else:
            problem = f"is at {new[:7]} and does not have {old[:7]} that was followed before"
            next_step = "if this is a mirror that lags, wait; if that commit was never pushed, push it"
        return CommitRefused(f"{self.remote.name} {problem}", f"{next_step}; or pass --allow-step-back")

    async def _check_signatures(self, commit: str, signers: Signers, since: str | None) -> str:
        if since is not None:
            start = since
            known = await self.remote.history(
                commit, start, lambda past: past.commits_between(commit, start) is not None
            )
            if self._allow_step_back and known.commits_between(commit, start) is None:
                since = None  # the old history was rewritten and is gone; the note says what was not checked
        return await verify(self.remote.mirror, commit, signers.path, since)

    async def _fall_back(self, problem: GitError, applied: Sequence[str], signers: Signers | None) -> Revision:
        """Return the commit that was in force before, with the problem. Raises `problem` if it may not stay."""
        if self._in_force is None:
            last, _ = self._recall()
            if last is None:
                raise problem
            try:
                self._in_force, self._signers = await self._judge(last, applied, signers), signers
            except GitError:
                raise problem from None
        if not self._is_current(self._in_force.commit, applied, signers):
            raise problem
        return replace(self._in_force, notes=(), problem=problem)

    def _recall(self) -> tuple[str | None, str | None]:
        """The last commit that was in force, and the last one whose signature was checked."""
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
