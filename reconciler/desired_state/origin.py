"""The place the desired state comes from: a folder, the repository around it, or a branch of a remote repository.

It is read again at every pass. If a remote repository cannot be reached or its newest commit is refused, the last
accepted commit stays in force and `Desired.refused` says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.desired_state.git.commit import find_repository
from reconciler.desired_state.git.history import is_shallow, read_history, why_behind
from reconciler.desired_state.load import load, load_from
from reconciler.errors import GitError, InvalidDesiredState, UnknownEnvironment, UsageError
from reconciler.model.desired import Desired
from reconciler.model.options import Options

if TYPE_CHECKING:  # a local folder does not need these modules and starts sooner without them
    from reconciler.desired_state.git.follow import Follower, Revision


FARTHEST_BACK = 200  # commits


class Origin(Protocol):
    """A place the desired state can be read from, any number of times."""

    async def read(self, *, valid_only: bool = False) -> Desired:
        """Read the newest desired state that may be applied. Raises InvalidDesiredState, GitError or UsageError.

        On an error the caller must not change any host. With `valid_only`, see `load`, it may only look.
        """
        ...

    async def why_behind(self, applied: str) -> str:
        """The reason why the state read last may not replace the commit `applied`, or "" if it may. Raises GitError."""
        ...

    async def why_cut_short(self) -> UsageError | None:
        """The error to report if history that a change needs is missing here, or None. Raises GitError."""
        ...

    def past_states(self) -> AsyncIterator[Desired]:
        """Earlier desired states, the newest first. Commits that do not load are skipped. Raises GitError."""
        ...


def origin_of(options: Options, *, lasting: bool = False) -> Origin:
    """Return the origin that the command line names. Raises UsageError.

    A `lasting` origin serves a watch: when the newest commit is refused, it keeps the one before it.
    """
    if options.repo:
        if options.working_tree or options.ref:
            raise UsageError("--repo cannot be combined with --ref or --working-tree", "name a branch with --branch")
        from reconciler.desired_state.git.follow import Follower
        from reconciler.desired_state.git.remote import Remote

        remote = Remote(options.repo, options.branch, options.desired_state.as_posix())
        return _Remote(Follower(remote, options.allowed_signers, options.allow_step_back), lasting, options.environment)
    if options.branch:
        raise UsageError("--branch needs --repo", "use --ref to name a commit of the local repository")
    _demand_commits(options)
    return _Local(options)


def _demand_commits(options: Options) -> None:
    """Raise UsageError if signatures are required but the desired state is plain files."""
    if options.allowed_signers and (options.working_tree or find_repository(options.desired_state) is None):
        raise UsageError("--allowed-signers needs commits, and these are files", "commit them, or leave it out")


class _Local:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._revision: str | None = None
        self._verified: str | None = None
        self._answers: dict[tuple[str, str], str] = {}

    async def read(self, *, valid_only: bool = False) -> Desired:
        options = self._options
        _demand_commits(options)  # again: a watch runs for months, and the repository may have been removed since
        desired = await asyncio.to_thread(
            load,
            options.desired_state,
            ref=options.ref,
            working_tree=options.working_tree,
            valid_only=valid_only,
            environment=options.environment,
        )
        self._revision = desired.revision
        signers: Path | None = options.allowed_signers
        if signers is None or desired.revision == self._verified:
            return desired
        from reconciler.desired_state.git.signatures import verify

        repository = find_repository(options.desired_state)
        assert repository is not None
        assert desired.revision is not None
        try:
            note = await verify(repository, desired.revision, signers, self._verified)
        except GitError as refused:
            refused.revision = desired.revision
            raise
        self._verified = desired.revision
        return replace(desired, notes=(*desired.notes, note))

    async def why_behind(self, applied: str) -> str:
        # With --ref the operator asks for exactly that commit, older or not.
        if self._revision is None or self._options.ref or self._options.allow_step_back:
            return ""
        question = (self._revision, applied)
        if question not in self._answers:
            repository = find_repository(self._options.desired_state)
            assert repository is not None
            self._answers[question] = await why_behind(repository, *question)
        return self._answers[question]

    async def why_cut_short(self) -> UsageError | None:
        repository = find_repository(self._options.desired_state) if self._revision else None
        if repository is None or not await is_shallow(repository):
            return None
        return UsageError(
            f"{repository} is a shallow clone: it does not show whether a newer commit was applied already, "
            "nor which apps were removed",
            "git fetch --unshallow; in CI get all commits: fetch-depth: 0 under with: of actions/checkout, or "
            'GIT_DEPTH: "0" under variables: of GitLab; or pass --allow-step-back, which removes nothing unless '
            "fleet.yaml sets owner:",
        )

    async def past_states(self) -> AsyncIterator[Desired]:
        folder, revision = self._options.desired_state, self._revision
        repository = find_repository(folder) if revision else None
        if repository is None or revision is None:
            return
        for commit in (await read_history(repository, revision)).line(revision)[1:FARTHEST_BACK]:
            with suppress(InvalidDesiredState, UnknownEnvironment):
                yield await asyncio.to_thread(load, folder, ref=commit, environment=self._options.environment)


class _Remote:
    def __init__(self, follower: Follower, lasting: bool, environment: str) -> None:
        self._follower, self._lasting, self._environment = follower, lasting, environment
        self._last: tuple[Revision, Desired] | None = None

    async def read(self, *, valid_only: bool = False) -> Desired:
        revision = await self._follower.find_newest()
        if revision.problem is not None and not self._lasting:
            raise revision.problem
        if self._last and self._last[0] is revision:
            return self._last[1]
        try:
            desired = await asyncio.to_thread(
                load_from,
                revision.mirror,
                revision.commit,
                revision.folder,
                notes=revision.notes,
                valid_only=valid_only,
                environment=self._environment,
            )
        except GitError:
            self._follower.forget()
            raise
        desired = replace(desired, refused=revision.problem)
        self._last = (revision, desired)
        return desired

    async def why_behind(self, applied: str) -> str:
        assert self._last is not None
        return await self._follower.why_behind(self._last[0].commit, applied)

    async def why_cut_short(self) -> UsageError | None:
        return None  # the mirror fetches whatever history it needs

    async def past_states(self) -> AsyncIterator[Desired]:
        assert self._last is not None
        newest = self._last[0]
        for commit in await self._follower.line(newest.commit, FARTHEST_BACK):
            with suppress(InvalidDesiredState, UnknownEnvironment):
                yield await asyncio.to_thread(
                    load_from, newest.mirror, commit, newest.folder, environment=self._environment
                )


Behind = Callable[[str], Awaitable[str]]
"""Takes the commit a host has applied. Returns why our commit may not replace it (it is older, or that cannot be
ruled out), or "" if it may."""
