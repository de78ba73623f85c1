"""Verify the SSH signatures of commits against a list of allowed signers that never comes from the repository.

git finds the signature and ssh-keygen verifies it. PGP signatures do not count: the user's keyring may trust people
who are not on the list.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.desired_state.git.ask import Bounds, ask_git
from reconciler.desired_state.git.commit import CommitRefused, find_repository
from reconciler.desired_state.git.history import read_history
from reconciler.errors import UsageError
from reconciler.words import printable

_MOST_COMMITS: Final = 2000
_LARGEST_LIST: Final = 1 << 20
_REASONS: Final = {
    "N": "has no signature",
    "U": "is signed with a key that is not on the list (or no longer is)",
    "B": "has a signature that does not match it",
}


@dataclass(frozen=True)
class Signers:
    """The list of allowed signers at the time it was read. `digest` changes when its text does."""

    path: Path
    digest: str


def read_signers(allowed_signers: Path, repository: Path | None = None) -> Signers:
    """Read the list of allowed signers. Raises UsageError, also for a list inside the repository that it judges."""
    path = Path(os.path.realpath(allowed_signers))
    top = _work_tree(repository) if repository else None
    if top and path.is_relative_to(top):
        next_step = "keep it outside: anyone who can commit could add a key to it"
        raise UsageError(f"the list of signers {allowed_signers} is inside the repository that it judges", next_step)
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # do not block forever on a pipe
        with os.fdopen(number, "rb") as file:
            status = os.fstat(number)
            text = file.read(_LARGEST_LIST) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        next_step = "see ALLOWED SIGNERS in ssh-keygen(1): one address and one public key per line"
        raise UsageError(
            f"the list of signers {allowed_signers} cannot be read: {error.strerror}", next_step
        ) from error
    if status.st_mode & 0o022:
        raise UsageError(f"the list of signers {allowed_signers} can be written by others", "chmod go-w it")
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in text.splitlines()):
        next_step = "write one address and one public key per line"
        raise UsageError(f"the list of signers {allowed_signers} is empty", next_step)
    return Signers(path, hashlib.sha256(text).hexdigest())


def _work_tree(repository: Path) -> Path | None:
    bare = (repository / "HEAD").is_file() and not os.path.lexists(repository / ".git")
    return None if bare else find_repository(repository)  # a bare one has no work tree, even inside another repository


async def verify(repository: Path, commit: str, allowed_signers: Path, since: str | None = None) -> str:
    """Verify that every commit after `since`, merged ones included, is signed by a signer on the list.

    Return a note that says what was checked and what was not: without `since`, only `commit` is checked. Raises
    CommitRefused, which names the first commit that fails; also if the repository does not have enough history.
    """
    signers = read_signers(allowed_signers, repository)
    commits = {commit}
    if since is not None:
        between = (await read_history(repository, commit, since)).commits_between(commit, since)
        if between is None:
            problem = f"the history from {since[:7]} to {commit[:7]} is incomplete here, so its signatures are unknown"
            raise CommitRefused(problem, "git fetch --unshallow, or start over from this commit")
        commits |= between
    if len(commits) > _MOST_COMMITS:
        problem = f"{len(commits)} commits came in since {str(since)[:7]}, too many to check (at most {_MOST_COMMITS})"
        raise CommitRefused(problem, "start over from this commit, without the mirror in the cache")
    found = await _signatures(repository, commits, signers)
    newest_first = sorted(commits, key=lambda checked: checked != commit)
    refused = [checked for checked in newest_first if found.get(checked, ("N", ""))[0] != "G"]
    if refused:
        raise await _refusal(repository, refused, found, signers)
    signer = found[commit][1]
    more = "only this commit was checked, not the ones before it"
    if since is not None:
        count = len(commits - {commit})
        more = (
            f"so is every other commit since {since[:7]} ({count} more)"
            if count
            else f"no other commit came in since {since[:7]}"
        )
    return f"commit {commit[:7]} is signed by {signer}; {more}"


async def _signatures(repository: Path, commits: set[str], signers: Signers) -> dict[str, tuple[str, str]]:
    """git's verdict (`%G?`) and the signer, for each commit that git reported."""
    settings = [f"gpg.ssh.allowedSignersFile={signers.path}", "gpg.ssh.program=ssh-keygen", "core.commitGraph=false"]
    settings += ["gpg.program=false", "gpg.openpgp.program=false", "gpg.x509.program=false", "log.showSignature=false"]
    words = [word for setting in settings for word in ("-c", setting)]
    answer = await ask_git(
        *words, "log", "--no-walk=unsorted", "--stdin", "--no-patch", "--no-color", "--format=tformat:%H %G? %GS",
        folder=repository, stdin="".join(f"{commit}\n" for commit in sorted(commits)).encode(),
        bounds=Bounds(seconds=30 + len(commits) / 5),
    )  # fmt: skip
    found = {}
    for line in answer.output.decode("utf-8", "replace").splitlines():
        if (parts := re.fullmatch(r"([0-9a-f]{40,64}) (.) ?(.*)", line)) and parts[1] in commits:
            found[parts[1]] = (parts[2], printable(parts[3]))
    return found


async def _refusal(
    repository: Path, refused: list[str], found: dict[str, tuple[str, str]], signers: Signers
) -> CommitRefused:
    commit = refused[0]
    shown = await ask_git("cat-file", "commit", commit, folder=repository, bounds=Bounds(output_bytes=1 << 20))
    header = shown.output.decode("utf-8", "replace").partition("\n\n")[0]
    author = re.search(r"^author (.*?>)", header, re.MULTILINE)
    name = printable(author[1], 120) if author else "an unknown author"
    reason = _REASONS.get(found.get(commit, ("?", ""))[0], "has a signature that cannot be read")
    if "-----BEGIN PGP" in header or "-----BEGIN SIGNED MESSAGE" in header:
        reason = "is signed with PGP or X.509, not with an SSH key (as are merges made on a forge's web page)"
    more = f" ({len(refused) - 1} more like it)" if len(refused) > 1 else ""
    return CommitRefused(
        f"commit {commit[:7]} by {name} {reason}{more}; nothing was changed",
        f"sign it with a key in {signers.path} (git commit --amend -S, or git rebase --exec for several) and push, "
        "or add the author's key there",
    )
