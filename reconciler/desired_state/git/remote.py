"""A branch of a remote repository, read through a bare mirror of our own. The remote is never written to.

The mirror has no work tree, so no hook, filter, submodule or large-file helper can run. It is a cache: it is created
again when it is damaged or has grown too large. It starts with one commit and then gets each newer one with the
commits between; more history is fetched only to answer a question about it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from reconciler.desired_state.files import collect
from reconciler.desired_state.git.address import read_address, read_branch, read_folder
from reconciler.desired_state.git.ask import Answer, Bounds, ask_git
from reconciler.desired_state.git.commit import RemoteUnreachable, open_mirror
from reconciler.desired_state.git.history import History, read_history
from reconciler.errors import GitError
from reconciler.files import cache_path, make_private

_SSH: Final = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oControlPath=none"
_LARGEST_FILE: Final = 1 << 30
_TIP: Final = Bounds(seconds=20, output_bytes=1 << 20)
_STEP: Final = Bounds(seconds=60, file_bytes=_LARGEST_FILE)
_WHOLE: Final = Bounds(seconds=300, file_bytes=_LARGEST_FILE)
_LOCK_SECONDS: Final = 400
_DEPTHS: Final = (64, 1024, 2**31 - 1)  # git takes the last one as unlimited
_MOST_LOOSE, _MOST_PACKS = 20_000, 60
_SETTINGS: Final = (
    "core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "fetch.writeCommitGraph=false",
    "submodule.recurse=false", "transfer.bundleURI=false", "credential.interactive=false",
    "http.lowSpeedLimit=1", "http.lowSpeedTime=60",
)  # fmt: skip
_FETCH: Final = (
    *(word for setting in _SETTINGS for word in ("-c", setting)),
    "fetch", "--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-auto-maintenance",
    "--no-write-fetch-head", "--update-shallow", "--refmap=",
)  # fmt: skip
_HELP: Final = (
    ("Host key verification failed", "add its host key to ~/.ssh/known_hosts"),
    ("Permission denied (publickey", "give this machine's ssh key read access to the repository (a deploy key)"),
    ("could not read Username", "set up a git credential helper, or use ssh with a deploy key"),
    ("Authentication failed", "check the git credential helper's login"),
    ("dubious ownership", "run as the repository's owner, or add it to git's safe.directory"),
    ("certificate", "make git trust the server's certificate authority (http.sslCAInfo)"),
    ("not allowed", "use https:// or ssh; git's url.insteadOf may rewrite the address"),
    ("not found", "check the address, and that this machine may read it"),
    ("does not appear to be a git repository", "check the address, and that this machine may read it"),
)


class Remote:
    """One branch of one repository, and the mirror it is read from.

    The constructor raises UsageError for an address, a branch or a folder that is not accepted.
    """

    def __init__(self, url: str, branch: str | None = None, folder: str = "desired-state") -> None:
        self.address = read_address(url)
        self.branch = read_branch(branch)
        self.folder = read_folder(folder)
        self.name = f"{self.address.url} {self.branch or 'HEAD'}"
        self.cache = _cache_folder() / hashlib.sha256(os.fsencode(self.address.url)).hexdigest()[:16]
        self.key = hashlib.sha256((self.branch or "").encode()).hexdigest()[:16]
        self.mirror = self.cache / "mirror.git"
        self._ssh: dict[str, str] | None = None

    async def tip(self) -> str:
        """Ask the remote for the branch's current commit, with one short request. Raises GitError."""
        ref = f"refs/heads/{self.branch}" if self.branch else "HEAD"
        answer = await self._ask("ls-remote", "--", self.address.url, ref, bounds=_TIP)
        if answer.code != 0:
            raise self._unreachable_error(answer)
        for line in answer.output.decode("utf-8", "replace").splitlines():
            commit, _, name = line.partition("\t")
            if name == ref and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
                return commit
        what = f"no branch {self.branch}" if self.branch else "no commit yet"
        raise RemoteUnreachable(f"{self.address.url} has {what}", "push it, or name another with --branch")

    async def fetch(self, commit: str) -> None:
        """Bring the commit into the mirror and check that its files can be read. Raises RemoteUnreachable."""
        async with self._hold_lock():
            if await self._is_readable(commit):
                return
            answer = await self._fetch_into_mirror(commit)
            if not answer or answer.code != 0 or not await self._is_readable(commit):
                await self._start_anew(commit)

    async def history(self, commit: str, other: str, enough: Callable[[History], bool]) -> History:
        """Fetch older commits of both until `enough(history)`, at most all of them. Raises RemoteUnreachable."""
        history = await read_history(self.mirror, commit, other)
        wants = [commit, other]
        for depth in _DEPTHS:
            if enough(history):
                break
            async with self._hold_lock():
                answer = await self._fetch(self.mirror, wants, depth, _WHOLE)
                if answer.code != 0 and other in wants:  # the remote may not have `other`, or no longer
                    wants = [commit]
                    answer = await self._fetch(self.mirror, wants, depth, _WHOLE)
            if answer.code != 0:
                raise self._unreachable_error(answer)
            history = await read_history(self.mirror, commit, other)
        return history

    async def _fetch_into_mirror(self, commit: str) -> Answer | None:
        """Fetch only what the mirror does not have. None if there is no mirror yet or it has grown too large."""
        if not self.mirror.is_dir() or await self._is_too_large():
            return None
        known = await ask_git("rev-parse", "--verify", "--quiet", f"refs/reconcile/{self.key}", folder=self.mirror)
        refspec = [f"+{commit}:refs/reconcile/{self.key}"]
        if known.code == 0:
            answer = await self._fetch(self.mirror, refspec, None, _STEP)
            if answer.code == 0:
                return answer
        return await self._fetch(self.mirror, refspec, 1, _WHOLE)

    async def _start_anew(self, commit: str) -> None:
        """Create a new mirror, and put it in place of the old one once it has the commit."""
        new, old = self.cache / "new.git", self.cache / "old.git"
        for leftover in (new, old):
            await asyncio.to_thread(_remove, leftover)
        kind = "sha256" if len(commit) == 64 else "sha1"
        words = ("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(new))
        made = await ask_git(*words, folder=self.cache)
        if made.code != 0:
            next_step = "make room, or set XDG_CACHE_HOME"
            raise GitError(f"the mirror cannot be created in {self.cache}: {made.complaint}", next_step)
        answer = await self._fetch(new, [f"+{commit}:refs/reconcile/{self.key}"], 1, _WHOLE)
        if answer.code != 0:
            await asyncio.to_thread(_remove, new)
            raise self._unreachable_error(answer)
        with suppress(FileNotFoundError):
            self.mirror.rename(old)
        new.rename(self.mirror)
        await asyncio.to_thread(_remove, old)

    async def _fetch(self, mirror: Path, refspecs: list[str], depth: int | None, bounds: Bounds) -> Answer:
        deep = () if depth is None else (f"--depth={depth}",)
        return await self._ask(*_FETCH, *deep, "--", self.address.url, *refspecs, folder=mirror, bounds=bounds)

    async def _ask(self, *words: str, bounds: Bounds, folder: Path | None = None) -> Answer:
        if folder is None:
            folder = self.cache
            _make(folder)
        if self._ssh is None:
            self._ssh = await self._ssh_command()
        protocols = self.address.protocols
        return await ask_git(*words, folder=folder, protocols=protocols, bounds=bounds, variables=self._ssh)

    async def _ssh_command(self) -> dict[str, str]:
        """The variables that make ssh never prompt; none if the operator has configured an ssh command."""
        if "ssh" not in self.address.protocols or os.environ.get("GIT_SSH_COMMAND") or os.environ.get("GIT_SSH"):
            return {}
        chosen = await ask_git("config", "--get", "core.sshCommand", folder=self.cache)
        return {} if chosen.code == 0 else {"GIT_SSH_COMMAND": _SSH}

    async def _is_readable(self, commit: str) -> bool:
        """True if the mirror has every object of this commit and its desired state can be read."""
        if not self.mirror.is_dir():
            return False
        listed = await ask_git("rev-list", "--objects", "--no-walk", "--quiet", commit, folder=self.mirror)
        return listed.code == 0 and await asyncio.to_thread(self._read_all, commit)

    def _read_all(self, commit: str) -> bool:
        try:
            with open_mirror(self.mirror, commit, self.folder) as tree:
                collect(tree, str(self.folder))
        except GitError:
            return False
        return True

    async def _is_too_large(self) -> bool:
        answer = await ask_git("count-objects", "-v", folder=self.mirror)
        text = answer.output.decode("ascii", "replace")
        found = {name: int(number) for name, number in re.findall(r"^([a-z-]+): ([0-9]+)$", text, re.MULTILINE)}
        if found.get("garbage"):  # left by an interrupted fetch
            return True
        return found.get("count", 0) > _MOST_LOOSE or found.get("packs", 0) > _MOST_PACKS

    @asynccontextmanager
    async def _hold_lock(self) -> AsyncIterator[None]:
        """Lock the mirror: another reconcile on this machine may follow the same repository."""
        _make(self.cache)
        with (self.cache / "lock").open("wb") as file:
            try:
                async with asyncio.timeout(_LOCK_SECONDS):
                    while not _lock(file.fileno()):  # noqa: ASYNC110 -- another process holds it
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise RemoteUnreachable(f"another reconcile holds {self.cache}", "end it if it is stuck") from None
            yield

    def _unreachable_error(self, answer: Answer) -> RemoteUnreachable:
        step = next((step for text, step in _HELP if text in answer.complaint), "check the address and the network")
        reason = answer.complaint or f"exit {answer.code}"
        return RemoteUnreachable(f"{self.address.url} cannot be read: {reason}", step)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cache_folder() -> Path:
    try:
        return cache_path("repositories")
    except OSError as error:
        raise GitError(f"{error} for the mirror", "set HOME or XDG_CACHE_HOME") from error


def _make(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        next_step = "make room, or set XDG_CACHE_HOME to a folder that can be written"
        raise GitError(f"the mirror cannot be kept in {folder}: {error.strerror}", next_step) from error
