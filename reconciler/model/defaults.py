"""The keys that an app can also get from `defaults` in fleet.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reconciler.model import values
from reconciler.model.env import Env
from reconciler.model.fields import AtLeastOne, MayBeEmpty, OneOrMore, Whole
from reconciler.model.health import HealthCheck
from reconciler.model.machine import Strict
from reconciler.model.sandbox import Sandbox


class Rollout(Strict):
    """A version is proven on the first host, then rolled out in batches. If it fails on a host, the rollout stops."""

    batch: Annotated[tuple[values.Batch, ...], AtLeastOne, OneOrMore()] = Field(
        default=("1",),
        description="Hosts at a time after the first: a number, or a share such as 25%. A list has the size of each "
        "batch, such as [1, 10%, 50%]; the last one counts for the rest.",
    )
    max_failures: Annotated[int, Whole(1, 1000)] = Field(
        default=1,
        description="The rollout halts when the version has failed on so many hosts, or on the first one of all.",
    )
    pause_seconds: Annotated[int, Whole(0, 604_800)] = Field(
        default=0, description="How long the version must have run on every host of a batch before the next batch."
    )
    on_failure: Literal["stop", "rollback"] = Field(
        default="stop",
        description="If a version has failed on max_failures hosts: stop there, or also roll back those that have it.",
    )


class Common(Strict):
    """The keys that an app can also get from `defaults` in fleet.yaml."""

    env: Env = Field(
        default_factory=dict,
        description="Environment variables. Text arrives unchanged; {secret: name} is looked up.",
    )
    health: HealthCheck | None = Field(default=None, description="Health check. Without it, / must answer 2xx.")
    drain_seconds: Annotated[int, Whole(0, 3600)] = Field(
        default=10,
        description="Longest wait for open requests of the old instance after the cutover.",
    )
    soak_seconds: Annotated[int, Whole(0, 86_400)] = Field(
        default=0,
        description="How long the old instance stays warm after the cutover, to take over again if the new one fails.",
    )
    drift: Literal["correct", "warn"] = Field(
        default="correct", description="Put back what was changed on a host by hand, or only warn about it."
    )
    rollout: Rollout = Field(
        default_factory=lambda: Rollout(), description="How a version is rolled out to several hosts."
    )
    stop_seconds: Annotated[int, Whole(1, 3600)] = Field(
        default=30, description="Time to stop after SIGTERM, before SIGKILL (TimeoutStopSec)."
    )
    migrate_within_seconds: Annotated[int, Whole(1, 86_400)] = Field(
        default=300, description="Time limit of `migrate`; after it the rollout has failed."
    )
    hook_within_seconds: Annotated[int, Whole(1, 86_400)] = Field(
        default=300, description="Time limit of each hook: `before_migrate`, `after_rollout`, `on_failure`."
    )
    keep_releases: Annotated[int, Whole(2, 100)] = Field(
        default=3, description="Releases to keep on a host, including the running one."
    )
    memory_max: values.Memory | None = Field(
        default=None,
        description="Memory limit of one instance: 512M, 2G or a share (MemoryMax). Default: 40%, with one port 80%.",
    )
    cpu_max: values.CpuShare | None = Field(
        default=None, description="CPU limit of one instance: 50% of one core, 200% for two (CPUQuota)."
    )
    sandbox: Annotated[Sandbox, MayBeEmpty(dict)] = Field(
        default_factory=Sandbox, description="Protections to switch off, by name."
    )
    distribution: Literal["none", "sname", "name"] = Field(
        default="none",
        description="Erlang distribution: none, sname (on one host: console, rpc) or name (between hosts, see docs).",
    )


class Defaults(Common):
    """Settings for every app of the fleet. An app's own key overrides them; `env` is merged key by key."""
