"""A job of an app as a look shows it, and its last run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobRun:
    """How the last run of a job ended. `result` is systemd's word, or `not-started` or `no-release`."""

    began_epoch_seconds: int
    ended_epoch_seconds: int
    result: str
    status: int  # as a shell says it
    release: str  # the release that it ran with, "" if there was none

    @property
    def failed(self) -> bool:
        return self.result != "success"

    @property
    def how(self) -> str:
        """How it ended, as people say it."""
        return {
            "success": "ended well",
            "exit-code": f"ended with exit status {self.status}",
            "timeout": "took too long and was stopped",
            "oom-kill": "ran out of memory",
            "signal": f"was killed by signal {max(0, self.status - 128)}",
            "not-started": "was not started, or was stopped",
            "no-release": "found no version that serves",
        }.get(self.result, f"failed ({self.result})")


@dataclass(frozen=True)
class ObservedJob:
    """A job of an app on one host. Without `files` it is only the rest of one: a run under way, or a mark."""

    name: str
    files: tuple[tuple[str, str], ...] = ()  # (name, sha256) of those that we wrote and that are there
    intact: bool = True  # these files are as we wrote them, and none is missing
    scheduled: bool = False  # its timer runs and is enabled for boot
    half_scheduled: bool = False  # only one of the two
    suspended: str | None = None  # who suspended it, until when and why
    runs_since: int | None = None  # a run is under way, since this time in epoch seconds
    runs_release: str = ""  # the release of that run
    last: JobRun | None = None
