"""Who signed a commit: SSH signatures, judged by a list of signers that never comes from the repository.

git finds the signature and ssh-keygen judges it. PGP signatures do not count: the keyring behind them may
trust people whom nobody named here.
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
    "U": "is signed with a key that is not on the list (or not any more)",
    "B": "has a signature that does not fit it",
}


@dataclass(frozen=True)
class Signers:
    """The list of who may sign, as it was when it was read; `digest` tells when it has changed."""

    path: Path
    digest: str


def read_signers(allowed_signers: Path, repository: Path | None = None) -> Signers:
    """The list, if it can be one. Raises UsageError; a list inside the repository it judges is refused."""
    path = Path(os.path.realpath(allowed_signers))
    top = _work_tree(repository) if repository else None
    if top and path.is_relative_to(top):
        next_step = "keep it outside: whoever may commit could add a key to it"
        raise UsageError(f"the list of signers {allowed_signers} lies in the repository it is to judge", next_step)
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would have us wait for ever
        with os.fdopen(number, "rb") as file:
            status = os.fstat(number)
            text = file.read(_LARGEST_LIST) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        next_step = "write it as ssh-keygen(1) says under ALLOWED SIGNERS: an address and a public key a line"
        raise UsageError(
            f"the list of signers {allowed_signers} cannot be read: {error.strerror}", next_step
        ) from error
    if status.st_mode & 0o022:
        raise UsageError(f"the list of signers {allowed_signers} can be written by others", "chmod go-w it")
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in text.splitlines()):
        raise UsageError(f"the list of signers {allowed_signers} names nobody", "write an address and a key a line")
    return Signers(path, hashlib.sha256(text).hexdigest())


def _work_tree(repository: Path) -> Path | None:
    bare = (repository / "HEAD").is_file() and not os.path.lexists(repository / ".git")
    return None if bare else find_repository(repository)  # a bare one has none, whatever it lies in


async def verify(repository: Path, commit: str, allowed_signers: Path, since: str | None = None) -> str:
    """Every commit that came in after `since`, merged ones too, is signed by somebody on the list.

    Returns a note that says what was checked and what was not: without `since`, the commit alone is. Raises
    CommitRefused, which names the first commit that is not signed so; also when the repository does not hold the
    history that is needed to tell.
    """
    signers = read_signers(allowed_signers, repository)
    commits = {commit}
    if since is not None:
        between = (await read_history(repository, commit, since)).commits_between(commit, since)
        if between is None:
            problem = f"the history from {since[:7]} to {commit[:7]} is not all here, so its signatures are unknown"
            raise CommitRefused(problem, "git fetch --unshallow, or start anew from this commit")
        commits |= between
    if len(commits) > _MOST_COMMITS:
        problem = f"{len(commits)} commits came in since {str(since)[:7]}, too many to check (at most {_MOST_COMMITS})"
        raise CommitRefused(problem, "start anew from this commit, without the mirror in the cache")
    found = await _signatures(repository, commits, signers)
    refused = [
        each for each in sorted(commits, key=lambda each: each != commit) if found.get(each, ("N", ""))[0] != "G"
    ]
    if refused:
        raise await _refusal(repository, refused, found, signers)
    signer = found[commit][1]
    more = "only this commit was checked, not the ones before it"
    if since is not None:
        count = len(commits - {commit})
        more = (
            f"so is what came in since {since[:7]} ({count} more)"
            if count
            else f"nothing else came in since {since[:7]}"
        )
    return f"commit {commit[:7]} is signed by {signer}; {more}"


async def _signatures(repository: Path, commits: set[str], signers: Signers) -> dict[str, tuple[str, str]]:
    """git's verdict and the signer of each commit that git got to."""
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
    name = printable(author[1], 120) if author else "nobody known"
    reason = _REASONS.get(found.get(commit, ("?", ""))[0], "has a signature that cannot be read")
    if "-----BEGIN PGP" in header or "-----BEGIN SIGNED MESSAGE" in header:
        reason = "is signed with PGP or X.509, not with an SSH key (as merges made on a forge's page are)"
    more = f" ({len(refused) - 1} more like it)" if len(refused) > 1 else ""
    return CommitRefused(
        f"commit {commit[:7]} by {name} {reason}{more}; nothing was changed",
        f"sign it with a key in {signers.path} (git commit --amend -S, or git rebase --exec for several) and push, "
        "or add the author's key there",
    )
