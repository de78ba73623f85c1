"""Every exception of the project. Each says what, where and what to do next.

ReconcileError
├── InvalidDesiredState     what people wrote cannot be used; nothing was touched      exit 2
├── UsageError              the command line cannot be used; nothing was touched       exit 2
├── GitError                the repository could not be read                           exit 2
├── ArtifactError           the artifact is missing, altered, unsafe or does not fit   exit 1
│   ├── ArtifactUnavailable     it may be there later                                  retryable
│   │   └── ArtifactMissing         nobody has published it yet
│   │       └── ArtifactAwaited         and not for long: CI may still be at it
│   └── ArtifactRefused         these bytes will never do
├── SecretError             a secret cannot be had; the apps that name it are left alone   exit 1
│   ├── SecretMissing           nothing has it
│   ├── SecretRefused           something has it and it cannot be opened, or no environment can carry it
│   └── SecretUnusable          it is not of the shape that its use needs
└── HostError               one host could not be looked at or changed                 exit 1
    ├── HostUnreachable         no connection, or it broke                             retryable
    ├── HostKeyRefused          the host's key is unknown or changed
    ├── HostRefused             login, sudo or a needed program is refused or missing
    ├── HostLocked              another controller has the host                        retryable
    └── ActionFailed            a remote action ended with an error it explained       retryable

Whatever else is raised is a mistake of ours; at the edges of a pass it becomes Unexpected, exit 1, retryable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reconciler.words import printable_text

Kind = Literal[
    "prune_guard",  # more would be removed at once than is allowed without a word
    "suspended",
    "waiting",  # for another host or app, or called off for something newer
    "drift",  # only reported
    "quarantined",  # this release failed here
    "rolled_back",  # it failed on another host, and the fleet goes back by policy
    "step_back",  # the desired state is older than what was applied
    "foreign",  # files that are not ours
    "crashing",
    "unhealthy",
    "port_taken",
    "memory",
    "traefik",
    "starting",  # Traefik, which may answer in a moment
    "still_routed",
    "circling",
    "unreadable",  # what the host says of the app does not fit: nothing of it is known, and nothing is done
    "unreachable",
    "host_key",
    "login",
    "locked",  # another controller was seen to have the host
    "lease_lost",  # another one took it between our look and our action
    "action",  # a remote action ended with an error
    "secret",
    "artifact",
    "invalid",
    "git",
    "unexpected",  # a mistake of ours
    "other",
    "error",
]
"""What kind of thing is in the way: one word of a fixed list, fit for a metric's label."""


class ReconcileError(Exception):
    """What went wrong (`str(error)`) and, in `next_step`, what the reader can do about it. No escape is in it."""

    retryable = False
    exit_code = 1
    kind: Kind = "error"

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(printable_text(message))
        self.next_step = printable_text(next_step or "")


class Unexpected(ReconcileError):
    """A mistake of ours. Says where it was raised and what led there, not what it said: that may hold a secret."""

    retryable = True
    kind = "unexpected"

    def __init__(self, error: Exception) -> None:
        from traceback import extract_tb

        frames = [frame for frame in extract_tb(error.__traceback__) if "reconciler/" in frame.filename]
        places = [
            f"reconciler/{frame.filename.rpartition('reconciler/')[2]}:{frame.lineno}" for frame in reversed(frames)
        ]
        at = f" at {places[0]}" if places else ""
        led = f" (from {', '.join(places[1:4])})" if places[1:] else ""
        super().__init__(f"a mistake of reconcile's own: {type(error).__name__}{at}{led}", "please report it")
        self.__cause__ = error


@dataclass(frozen=True, order=True)
class Problem:
    """One fault in what people wrote: where (`line` and `column` count from 1, 0 = unknown), which key, the way out."""

    file: str
    line: int
    column: int
    key: str
    message: str
    next_step: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{where}  {key}{self.message}" + (f"; {self.next_step}" if self.next_step else "")


class InvalidDesiredState(ReconcileError):
    """The desired state cannot be used; `problems` names each fault with its place."""

    exit_code = 2
    kind = "invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.revision: str | None = None  # the commit that says so


class UsageError(ReconcileError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class GitError(ReconcileError):
    """git could not be asked, or has not what was asked for. `revision` is the commit in question, if there is one."""

    exit_code = 2
    kind = "git"
    revision: str | None = None


class ArtifactError(ReconcileError):
    """The artifact cannot be turned into a release."""

    kind: Kind = "artifact"


class ArtifactUnavailable(ArtifactError):
    """The artifact could not be had this time."""

    retryable = True


class ArtifactMissing(ArtifactUnavailable):
    """Where it should be there is nothing: it was not published yet, or never will be."""


class ArtifactAwaited(ArtifactMissing):
    """It was asked for a short while ago: no reason to worry yet."""

    kind = "waiting"


class ArtifactRefused(ArtifactError):
    """These bytes are not what was asked for, not safe to unpack, or do not run on the host."""


class SecretError(ReconcileError):
    """A secret that the desired state names cannot be had. No such error repeats a value."""

    kind = "secret"


class SecretMissing(SecretError):
    """Neither the desired state nor this controller has it."""


class SecretRefused(SecretError):
    """It is there, and cannot be opened with the keys at hand, was tampered with, or cannot be used."""


class SecretUnusable(SecretError):
    """A secret is not of the shape that its use needs; says how, and nothing of the secret."""


class HostError(ReconcileError):
    """Something about one host; `host` is the name people gave it."""

    def __init__(self, host: str, message: str, next_step: str | None = None) -> None:
        super().__init__(f"host {host}: {message}", next_step)
        self.host = host


class HostUnreachable(HostError):
    """No connection could be made, or it broke; what was under way may still be running there."""

    retryable = True
    kind = "unreachable"


class HostKeyRefused(HostError):
    """The host showed a key that is unknown or differs from the known one."""

    kind = "host_key"


class HostRefused(HostError):
    """The host lets us in but not do the work: no root, no sudo, a program missing."""

    kind = "login"


class HostLocked(HostError):
    """Another controller holds the host's lease, or changed the host since we looked; nothing was done."""

    retryable = True
    kind = "lease_lost"


class ActionFailed(HostError):
    """A remote action stopped with an error that it explained."""

    retryable = True
    kind = "action"
