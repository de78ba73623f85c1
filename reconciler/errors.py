"""Every exception of the project. Each says what happened, where, and what to do next.

ReconcileError
├── InvalidDesiredState     the desired state is not valid; nothing was changed            exit 2
├── UsageError              the command line is not valid; nothing was changed             exit 2
├── GitError                the repository could not be read                               exit 2
├── ArtifactError           the artifact is missing, altered, unsafe or does not fit       exit 1
│   ├── ArtifactUnavailable     it may be available later                                  retryable
│   │   └── ArtifactMissing         it is not published
│   │       └── ArtifactAwaited         it was asked for recently: CI may still be building it
│   └── ArtifactRefused         these bytes will never be accepted
├── SecretError             a secret is not available; the apps that name it are left alone   exit 1
│   ├── SecretMissing           it is not stored anywhere
│   ├── SecretRefused           it exists but cannot be decrypted, or no environment variable can hold it
│   └── SecretUnusable          its value does not have the form that its use needs
└── HostError               one host could not be looked at or changed                     exit 1
    ├── HostUnreachable         no connection, or it broke                                 retryable
    ├── HostKeyRefused          the host's key is unknown or has changed
    ├── HostRefused             login, sudo or a required program is refused or missing
    ├── HostLocked              another controller holds the host                          retryable
    └── ActionFailed            a remote action failed and reported an error               retryable

Any other exception is a bug in reconcile. At the edges of a pass it becomes Unexpected, exit 1, retryable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reconciler.words import printable_text

Kind = Literal[
    "prune_guard",  # a pass would remove more apps than it may without --allow-prune
    "suspended",
    "waiting",  # for another host or app, or called off for something newer
    "drift",  # reported but not corrected
    "quarantined",  # this release failed on this host
    "rolled_back",  # it failed on another host, and the rollout policy takes the fleet back
    "step_back",  # the desired state is older than the applied one
    "foreign",  # files that are not ours
    "crashing",
    "unhealthy",
    "port_taken",
    "host",  # the host cannot start instances, whatever their release
    "hook",  # `after_rollout` failed; the app itself is converged
    "exposed",  # visitors who the route keeps out can reach the app past Traefik
    "memory",
    "traefik",
    "starting",  # Traefik is starting and may answer soon
    "still_routed",
    "circling",
    "unreadable",  # the host's report about the app has the wrong form: its state is not known, nothing is changed
    "unreachable",
    "host_key",
    "login",
    "locked",  # the look showed that another controller holds the host
    "lease_lost",  # another controller took the host between our look and our action
    "job_failed",  # the last run of a job
    "action",  # a remote action failed
    "secret",
    "artifact",
    "invalid",
    "git",
    "unexpected",  # a bug in reconcile
    "other",
    "error",
]
"""The kind of an obstacle: one of a fixed list of words, which serve as labels of metrics."""


class ReconcileError(Exception):
    """An error with a message (`str(error)`) and, in `next_step`, what the reader can do about it.

    Both are safe to print on a terminal.
    """

    retryable = False
    exit_code = 1
    kind: Kind = "error"

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(printable_text(message))
        self.next_step = printable_text(next_step or "")


class Unexpected(ReconcileError):
    """A bug in reconcile. The message gives the exception's type and call sites, not its text: that may be secret."""

    retryable = True
    kind = "unexpected"

    def __init__(self, error: BaseException) -> None:
        from traceback import extract_tb

        frames = [frame for frame in extract_tb(error.__traceback__) if "reconciler/" in frame.filename]
        places = [
            f"reconciler/{frame.filename.rpartition('reconciler/')[2]}:{frame.lineno}" for frame in reversed(frames)
        ]
        at = f" at {places[0]}" if places else ""
        led = f" (from {', '.join(places[1:4])})" if places[1:] else ""
        super().__init__(f"a bug in reconcile: {type(error).__name__}{at}{led}", "please report it")
        self.__cause__ = error


@dataclass(frozen=True, order=True)
class Problem:
    """A problem in a file of the desired state: its place, key, message and next step.

    `line` and `column` count from 1; 0 means that they are not known.
    """

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
    """The desired state is not valid. `problems` lists every problem with its place."""

    exit_code = 2
    kind = "invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.revision: str | None = None  # the commit that it was read from


class UsageError(ReconcileError):
    """The command line asks for something that is not possible."""

    exit_code = 2


class UnknownEnvironment(UsageError):
    """The desired state has no environment of that name."""


class GitError(ReconcileError):
    """git failed, or does not have what was asked for. `revision` is the commit in question, if there is one."""

    exit_code = 2
    kind = "git"
    revision: str | None = None


class ArtifactError(ReconcileError):
    """The artifact cannot be turned into a release."""

    kind: Kind = "artifact"


class ArtifactUnavailable(ArtifactError):
    """The artifact is not available now. A retry may succeed."""

    retryable = True


class ArtifactMissing(ArtifactUnavailable):
    """There is no artifact at its source: it was not published yet, or never will be."""


class ArtifactAwaited(ArtifactMissing):
    """The artifact is missing, but the commit that asks for it is recent: wait before reporting a failure."""

    kind = "waiting"


class ArtifactRefused(ArtifactError):
    """The artifact's bytes do not match the digest or signature, are not safe to unpack, or cannot run on the host."""


class SecretError(ReconcileError):
    """A secret that the desired state names is not available. The message never repeats its value."""

    kind = "secret"


class SecretMissing(SecretError):
    """The secret is neither in the desired state nor on this controller."""


class SecretRefused(SecretError):
    """The secret exists but cannot be decrypted with the available keys, was tampered with, or cannot be used."""


class SecretUnusable(SecretError):
    """The secret's value does not have the form that its use needs. The message says why, without the value."""


class HostError(ReconcileError):
    """An error of one host. `host` is its name in the desired state."""

    def __init__(self, host: str, message: str, next_step: str | None = None) -> None:
        super().__init__(f"host {host}: {message}", next_step)
        self.host = host


class HostUnreachable(HostError):
    """No connection could be made, or it broke. An action that was under way may still be running on the host."""

    retryable = True
    kind = "unreachable"


class HostKeyRefused(HostError):
    """The host showed a key that is unknown or differs from the known one."""

    kind = "host_key"


class HostRefused(HostError):
    """We can log in to the host but not work there: no root, no sudo, or a missing program."""

    kind = "login"


class HostLocked(HostError):
    """Another controller holds the host's lease, or changed the host since our look. Nothing was changed by us."""

    retryable = True
    kind = "lease_lost"


class ActionFailed(HostError):
    """A remote action failed and reported the error."""

    retryable = True
    kind = "action"
