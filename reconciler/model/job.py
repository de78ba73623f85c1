"""A job of an app, as people write it: a program that runs to its end, on a schedule or by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from reconciler.model import addresses, values
from reconciler.model.calendar import LONGEST, parse_calendar
from reconciler.model.fields import Text, Whole, refuse
from reconciler.model.machine import Strict
from reconciler.model.process_name import LONGEST_NAME

MOST_JOBS = 50  # of one app

_NAME = Text(
    r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*",
    "cannot name a job",
    "use a-z, 0-9, _ and single -, a letter first",
    longest=LONGEST_NAME - len("a--"),
)


def _check_name(name: str) -> str:
    if name == "worker":
        raise refuse("worker is the name of a slot", "choose another name")
    return name


JobName = Annotated[str, _NAME, AfterValidator(_check_name)]


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _check_at(text: str) -> str:
    try:
        calendar = parse_calendar(text)
    except ValueError as error:
        sentence = str(error)
        problem, _, next_step = sentence.partition(": " if ": " in sentence else "; ")
        raise refuse(problem, next_step) from None
    if calendar.next_after(_LONG_AGO, ZoneInfo("UTC")) is None:
        raise refuse(f"'{text}' never comes", "correct its date")
    return text


_AT = Text(
    r"[A-Za-z0-9*~.,/:@_+-]+( +[A-Za-z0-9*~.,/:@_+-]+)*",
    "is not a time as systemd writes it",
    'write it like "*-*-* 03:00 Europe/Vienna", "Mon *-*-* 06:30 UTC" or "hourly"',
    longest=LONGEST,
)


class Job(Strict):
    """A program of the app that runs to its end, with the release and env that serve at that moment."""

    run: values.Command = Field(description="Command, run in the release folder with the app's env and sandbox.")
    at: Annotated[str, _AT, AfterValidator(_check_at)] | None = Field(
        default=None,
        description='When it runs, as systemd writes it: "*-*-* 03:00 Europe/Vienna" (see systemd.time). '
        "Without it: by hand only, with reconcile run.",
    )
    within_minutes: Annotated[int, Whole(1, 10_080)] = Field(
        default=60, description="Time limit of one run; then it is stopped and has failed (TimeoutStartSec)."
    )
    host: addresses.HostTarget | None = Field(
        default=None, description="The one host of the app that runs it. Default: the first of hosts."
    )
    catch_up: values.Flag = Field(
        default=False,
        description="Run it once as soon as the host is up again if its time passed while it was off (Persistent).",
    )
    memory_max: values.Memory | None = Field(
        default=None, description="Memory limit of a run (MemoryMax). Default: that of an instance of the app."
    )
    cpu_max: values.CpuShare | None = Field(
        default=None, description="CPU limit of a run (CPUQuota). Default: that of an instance of the app."
    )

    @model_validator(mode="after")
    def _check_catch_up(self) -> Self:
        if self.catch_up and self.at is None:
            raise refuse("needs times", "write at:, or delete it", at=("catch_up",))
        return self

    @property
    def zoned(self) -> bool:
        """True unless its times depend on the time zone of the host."""
        return self.at is None or parse_calendar(self.at).zone is not None
