"""Read the desired state from a commit, with a single run of git.

One `git cat-file --batch` answers every question: the commit, the folder in it, each file. It reads the object store
directly: no index, hook, filter, submodule or `.gitattributes` is involved, and nothing is fetched.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, cast

from reconciler.desired_state.files import Kind
from reconciler.desired_state.yaml_text import LARGEST_FILE
from reconciler.errors import GitError
from reconciler.programs import why_not_started
from reconciler.words import printable

LONGEST_SECONDS = 60.0  # for one run of git: a file system that hangs must not hang us
# Precedes the words of every question: no setting of a repository may make git run a program, and a bare repository
# among the committed files is not a repository to git.
NEUTRAL = tuple(
    word
    for setting in (
        "safe.bareRepository=explicit", "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.pager=cat",
        "log.showSignature=false", "gpg.program=false",
    )
    for word in ("-c", setting)
)  # fmt: skip
_KINDS: dict[bytes, Kind] = {
    b"100644": "file",
    b"100755": "file",
    b"100664": "file",
    b"40000": "folder",
    b"120000": "link",
}


class RemoteUnreachable(GitError):
    """The remote repository could not be asked, or did not have the commit it announced. A retry may succeed."""

    retryable = True


class CommitRefused(GitError):
    """The commit exists but must not be followed: it is older than one applied before, or its signature is refused."""


def find_repository(folder: Path) -> Path | None:
    """The nearest folder, at or above this one, that contains a `.git`, or None."""
    folder = Path(os.path.realpath(folder))
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path / ".git")), None)


@contextmanager
def open_commit(folder: Path, ref: str | None) -> Iterator[CommitTree]:
    """Open the folder as it is in the commit that `ref` names (default: HEAD). Raises GitError."""
    if ref is not None and (not ref or ref.startswith("-") or not ref.isprintable()):
        raise GitError(f"{ref!r} is not the name of a commit", "name a branch, a tag or a commit id")
    with _start_git(Path(os.path.realpath(folder))) as (objects, path):
        commit = objects.read(f"{ref or 'HEAD'}^{{commit}}")
        if commit is None and ref is None:
            next_step = "git add the folder and git commit, or pass --working-tree"
            raise GitError(f"the repository of {folder} has no commit yet", next_step)
        if commit is None:
            raise GitError(f"there is no commit {ref} in the repository of {folder}", "see git branch -a and git tag")
        yield CommitTree(objects, commit[0], path, committed_at=_commit_time(commit[2]))


@contextmanager
def open_commit_at(root: Path, commit: str, folder: PurePosixPath) -> Iterator[CommitTree]:
    """Open this folder of the repository at `root` as it is in the commit of this id. Raises GitError."""
    with _talk_to(["git", *NEUTRAL, "-C", str(root), "cat-file", "--batch"], root) as objects:
        found = objects.read(f"{commit}^{{commit}}")
        if found is None:
            raise GitError(f"commit {commit[:7]} is not in {root}", "fetch it")
        yield CommitTree(objects, commit, folder, committed_at=_commit_time(found[2]))


@contextmanager
def open_mirror(mirror: Path, commit: str, folder: PurePosixPath) -> Iterator[CommitTree]:
    """Open the folder as it is in this commit of a bare mirror. Raises GitError."""
    with _talk_to(["git", *NEUTRAL, f"--git-dir={mirror}", "cat-file", "--batch"], mirror) as objects:
        found = objects.read(f"{commit}^{{commit}}")
        if found is None or found[0] != commit:
            raise GitError(f"commit {commit[:7]} is not in {mirror}", "fetch it again")
        yield CommitTree(objects, commit, folder, committed_at=_commit_time(found[2]))


class CommitTree:
    """The folder in one commit. `id` is the full commit id, `committed_at` the commit's date in epoch seconds."""

    def __init__(
        self, objects: _Objects, commit: str, path: PurePosixPath, *, committed_at: float | None = None
    ) -> None:
        self.id = commit
        self.committed_at = committed_at
        self._objects = objects
        self._path = path

    def entries(self, folder: str) -> dict[str, Kind] | None:
        found = self._objects.read(self._name(folder))
        if found is None:
            return None
        _, kind, content = found
        if kind != "tree":
            raise OSError("it is not a folder")
        if len(content) > LARGEST_FILE:
            raise OSError("it contains too many files")
        return dict(_tree_entries(content, len(self.id) // 2))

    def read(self, name: str) -> bytes:
        found = self._objects.read(self._name(name))
        if found is None:
            raise OSError("git has no such object; is the clone complete?")
        return found[2]

    def _name(self, name: str) -> str:
        path = str(self._path / name)
        return f"{self.id}:{path if path != '.' else ''}"


def _commit_time(commit: bytes) -> float | None:
    """The date of a commit object in epoch seconds, or None.

    The line `committer NAME <MAIL> SECONDS ZONE` is in the header, before the first empty line.
    """
    found = re.search(rb"^committer .*> ([0-9]{1,12}) [-+][0-9]{4}$", commit.partition(b"\n\n")[0], re.MULTILINE)
    return float(found[1]) if found else None


def _tree_entries(content: bytes, id_bytes: int) -> Iterator[tuple[str, Kind]]:
    """The (name, kind) pairs of a git tree object, which repeats `<mode> <name> NUL <raw id>`."""
    position = 0
    while position < len(content):
        end = content.index(b"\0", position)
        mode, _, name = content[position:end].partition(b" ")
        yield os.fsdecode(name), _KINDS.get(mode, "other")
        position = end + 1 + id_bytes


class _Objects:
    """A conversation with one `git cat-file --batch`."""

    def __init__(self, git: subprocess.Popen[bytes], root: str) -> None:
        self._git = git
        self._root = root
        self._ask = cast(IO[bytes], git.stdin)
        self._answer = cast(IO[bytes], git.stdout)
        self._timed_out = False

    def give_up(self) -> None:
        """Kill git. A read that waits for its answer then raises GitError."""
        self._timed_out = True
        self._git.kill()

    def read(self, name: str) -> tuple[str, str, bytes] | None:
        """Return id, kind and bytes of an object, or None if it does not exist. Raises GitError.

        The bytes are cut after LARGEST_FILE + 1.
        """
        if "\n" in name:
            raise GitError(f"{name!r} contains a line break, so git cannot look it up", "rename the folder")
        try:
            self._ask.write(os.fsencode(name) + b"\n")
            self._ask.flush()
        except BrokenPipeError:
            raise self._error() from None
        header = self._answer.readline()
        if not header:
            raise self._error()
        words = header.rsplit(b" ", 2)
        if len(words) != 3 or not words[2].strip().isdigit():
            if header.endswith(b" ambiguous\n"):
                raise GitError(f"{name.partition('^')[0]} matches several commit ids", "write more digits")
            return None
        size = int(words[2])
        content = self._answer.read(min(size, LARGEST_FILE + 1))
        left = size - len(content) + 1  # the line feed that ends each answer counts as well
        while left > 0 and (skipped := self._answer.read(min(left, 1 << 16))):
            left -= len(skipped)
        if left > 0:
            raise self._error()
        return words[0].decode(), words[1].decode(), content

    def _error(self) -> GitError:
        with suppress(BrokenPipeError):
            self._ask.close()
        if self._timed_out:
            return GitError(f"git gave no answer about {self._root} in time", "check whether its file system hangs")
        complaint = cast(IO[bytes], self._git.stderr).read().decode("utf-8", "replace").strip()
        if "dubious ownership" in complaint:
            next_step = f"run as its owner, or git config --global --add safe.directory {self._root}"
            return GitError(f"git refuses to read {self._root}: it belongs to another user", next_step)
        reason = complaint.removeprefix("fatal: ").splitlines()[0] if complaint else "git ended without an answer"
        next_step = "try git log there, or pass --working-tree"
        return GitError(f"git cannot read {self._root}: {printable(reason)}", next_step)


@contextmanager
def _start_git(folder: Path) -> Iterator[tuple[_Objects, PurePosixPath]]:
    """Start git on the repository around the folder. Yield the conversation and the folder's path in the repository."""
    root = find_repository(folder)
    if root is None:
        raise GitError(f"{folder} is not in a git repository", "git init, or pass --working-tree")
    with _talk_to(["git", *NEUTRAL, "-C", str(root), "cat-file", "--batch"], root) as objects:
        yield objects, PurePosixPath(folder.relative_to(root).as_posix())


@contextmanager
def _talk_to(command: list[str], root: Path) -> Iterator[_Objects]:
    try:
        git = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(root)
        )
    except OSError as error:
        next_step = "install git, or pass --working-tree to read the files as they are"
        why = why_not_started("git", error)
        raise GitError(f"{root} is a git repository, but git cannot be run: {why}", next_step) from error
    objects = _Objects(git, str(root))
    limit = threading.Timer(LONGEST_SECONDS, objects.give_up)
    limit.daemon = True
    with git:
        limit.start()
        try:
            yield objects
        finally:
            limit.cancel()
            git.kill()


def environment(repository: Path) -> dict[str, str]:
    """The environment for git: ours, minus variables that point git at another repository.

    git may not prompt, fetch, take optional locks, or search for a repository above this one.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or "_CONFIG_" in key}
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_CEILING_DIRECTORIES": str(repository.parent),
        "LC_ALL": "C",
    }
