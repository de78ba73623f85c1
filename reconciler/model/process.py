"""A process of an app beside its web process, such as a queue worker. It belongs to the version as that does.

On a host each one is an app of its own with one slot, named `<app>--<process>`: unit, env, logs and record lie there.
It runs as the user of its app, with the same state.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from reconciler.model import addresses, values
from reconciler.model.env import Env
from reconciler.model.fields import EachOnce, MayBeEmpty, Text, Whole, refuse
from reconciler.model.machine import Strict
from reconciler.model.process_name import SEPARATOR

ProcessName = Annotated[
    str,
    Text(
        r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*",
        "cannot name a process",
        "use a-z, 0-9, _ and single -, a letter first: a number would be a slot of the app",
        longest=28,
    ),
]


class Process(Strict):
    """A process of the app beside its web process: the same release, env and user, in a unit of its own."""

    start: values.Command = Field(description="Start command, run in the release folder.")
    hosts: Annotated[tuple[addresses.HostChoice, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(), description="Those of the app's hosts that it runs on, by name or as group:NAME. Default: all."
    )
    count: Annotated[int, Whole(1, 20)] = Field(default=1, description="How many of it run on each of these hosts.")
    env: Annotated[Env, MayBeEmpty(dict)] = Field(
        default_factory=dict, description="Variables besides those of the app, or in place of them."
    )
    minimum_healthy_seconds: Annotated[int, Whole(0, 600)] = Field(
        default=5, description="How long it must run without an end before the version gets traffic."
    )
    stop_seconds: Annotated[int, Whole(1, 3600)] | None = Field(
        default=None, description="Time to finish its work after SIGTERM, before SIGKILL. Default: that of the app."
    )
    memory_max: values.Memory | None = Field(
        default=None, description="Its own memory limit. Default: that of the app."
    )
    cpu_max: values.CpuShare | None = Field(default=None, description="Its own CPU limit. Default: that of the app.")

    @field_validator("hosts", mode="before")
    @classmethod
    def _check_some_host(cls, written: object) -> object:
        if written == []:
            raise refuse("is an empty list", "delete it: without it the process runs on all hosts of the app")
        return written

    def names(self, app: str, name: str) -> tuple[str, ...]:
        """The name of each of its `count` apps: `shop--mailer`, `shop--mailer-2` and so on."""
        more = (f"{app}{SEPARATOR}{name}-{number}" for number in range(2, self.count + 1))
        return f"{app}{SEPARATOR}{name}", *more
