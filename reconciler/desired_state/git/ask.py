"""Run git asynchronously, with bounds on time, on the size of its output and on the size of the files it writes.

No command here runs a hook, filter, pager or helper of a repository, and none uses a protocol that the caller did not
name.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.desired_state.git.commit import NEUTRAL, environment
from reconciler.errors import GitError
from reconciler.programs import why_not_started
from reconciler.words import printable

_MOST_STDERR_BYTES: Final = 64 * 1024
_LINGER_SECONDS: Final = 1.0  # an ssh master that keeps running may hold the pipes open
_STOP_SECONDS: Final = 2.0
# Variables that the operator sets to reach a repository. Every other variable that begins with GIT_ is removed.
_ACCESS_VARIABLES: Final = (
    "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY",
)  # fmt: skip
_MEANINGLESS_LINES: Final = (
    "fatal: Could not read from remote repository", "Please make sure you have", "and the repository exists",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """The result of one run of git."""

    code: int  # git's exit status; -1 if we stopped it or a signal ended it
    output: bytes
    complaint: str  # what it wrote to stderr, as one printable line


@dataclass(frozen=True)
class Bounds:
    """The limits of one run of git."""

    seconds: float = 60
    output_bytes: int = 64 * 1024 * 1024
    file_bytes: int = 16 * 1024 * 1024


_USUAL: Final = Bounds()


async def ask_git(
    *words: str,
    folder: Path,
    stdin: bytes = b"",
    protocols: str = "none",
    bounds: Bounds = _USUAL,
    variables: dict[str, str] | None = None,
) -> Answer:
    """Run git in `folder`, with these environment variables added. `protocols` is a value of GIT_ALLOW_PROTOCOL.

    Raises GitError only if git cannot be started; every other failure is in the answer.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, talk = await loop.subprocess_exec(
            lambda: _Talk(bounds.output_bytes), "git", *NEUTRAL, *words, cwd=folder, start_new_session=True,
            env=_environment(folder, protocols) | (variables or {}),
        )  # fmt: skip
    except OSError as error:
        next_step = "install git, and check that it can be executed"
        raise GitError(f"git cannot be run in {folder}: {why_not_started('git', error)}", next_step) from error
    try:
        _limit_files(transport.get_pid(), bounds.file_bytes)
        await _converse(transport, talk, stdin, bounds.seconds)
    except TimeoutError:
        return Answer(-1, b"", f"no answer within {bounds.seconds:g} s")
    finally:
        await _end(transport, talk)
    if talk.too_much:
        return Answer(-1, b"", "the answer is too long")
    code = transport.get_returncode()
    return Answer(-1 if code is None else code, bytes(talk.kept[1]), _complaint_line(bytes(talk.kept[2])))


class _Talk(asyncio.SubprocessProtocol):
    """Collects git's output, up to a bound."""

    def __init__(self, most_bytes: int) -> None:
        self.kept = {1: bytearray(), 2: bytearray()}
        self.too_much = False
        self.exited = asyncio.Event()
        self.over = asyncio.Event()  # git exited, or wrote too much
        self.silent = asyncio.Event()  # both pipes are closed
        self._most = {1: most_bytes, 2: _MOST_STDERR_BYTES}
        self._open = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        room = self._most[fd] - len(self.kept[fd])
        self.kept[fd] += data[: max(0, room)]
        if fd == 1 and len(data) > room:
            self.too_much = True
            self.over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()


async def _converse(transport: asyncio.SubprocessTransport, talk: _Talk, stdin: bytes, seconds: float) -> None:
    writer = transport.get_pipe_transport(0)
    assert isinstance(writer, asyncio.WriteTransport)
    writer.write(stdin)
    writer.close()  # after the buffered data was sent
    async with asyncio.timeout(seconds):
        await talk.over.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            await talk.silent.wait()


async def _end(transport: asyncio.SubprocessTransport, talk: _Talk) -> None:
    """Close the pipes. If git still runs, end it and every program it started."""
    try:
        if not talk.exited.is_set():
            group = transport.get_pid()
            _signal(group, signal.SIGTERM)  # lets git remove its lock files
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_SECONDS):
                        await talk.exited.wait()
            finally:
                _signal(group, signal.SIGKILL)
    finally:
        transport.close()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _limit_files(pid: int, file_bytes: int) -> None:
    """Limit the size of the files that git and the programs it starts from now on may write. Works on Linux only."""
    if hasattr(resource, "prlimit"):
        with suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def _environment(folder: Path, protocols: str) -> dict[str, str]:
    access = {key: os.environ[key] for key in _ACCESS_VARIABLES if key in os.environ} if protocols != "none" else {}
    bounded = {
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    if (folder / "HEAD").is_file() and not os.path.lexists(folder / ".git"):
        bounded["GIT_DIR"] = str(folder)  # git may be configured to reject a bare repository that it has to discover
    return environment(folder) | access | bounded


def _complaint_line(stderr: bytes) -> str:
    """The last meaningful lines of stderr as one line, without logins, safe to print on a terminal."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    significant = [line for line in lines if not line.startswith(_MEANINGLESS_LINES)]
    text = re.sub(r"://[^/\s@]*@", "://…@", "; ".join(dict.fromkeys((significant or lines)[-3:])))
    return printable(text, 400)
