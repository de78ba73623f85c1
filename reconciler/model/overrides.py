"""The keys of an app that can have another value on some of its hosts: `overrides:` in the app's file."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from reconciler.model import values
from reconciler.model.env import EnvValue
from reconciler.model.fields import EachOnce, MayBeEmpty, Whole, refuse
from reconciler.model.health import HealthCheck
from reconciler.model.machine import Strict
from reconciler.model.route import Route
from reconciler.model.sandbox import Sandbox

_ONE_APP = "names the app, which is the same everywhere"
_WHERE = "is said once, by hosts of the app"
_ONE_RELEASE = "is the same on all hosts: a version is proven on one host for the others"
_ONCE = "is for all hosts together"
_ONE_SHAPE = "is the same on all hosts: the processes of an app are one version"

SAME_EVERYWHERE: Final = {
    "app": (_ONE_APP, "write a file of its own for another app"),
    "hosts": (_WHERE, "change hosts of the app"),
    "version": (_ONE_RELEASE, "write an environment for hosts with another version: environments/NAME.yaml"),
    "artifact": (_ONE_RELEASE, "write an environment for hosts with another release: environments/NAME.yaml"),
    "start": (_ONE_RELEASE, "let the program read a variable, and override that in env"),
    "migrate": (_ONCE, "it runs once for each release, from one host"),
    "migrate_when": (_ONCE, "it runs once for each release, from one host"),
    "migrate_within_seconds": (_ONCE, "it runs once for each release, from one host"),
    "before_migrate": (_ONCE, "it runs once for each release, from one host"),
    "after_rollout": (_ONCE, "write {run: …, each_host: true} for the app, and let it read a variable"),
    "on_failure": (_ONCE, "write {run: …, each_host: true} for the app, and let it read a variable"),
    "hook_within_seconds": (_ONCE, "change it for the app"),
    "rollout": (_ONCE, "change it for the app"),
    "after": (_ONCE, "change it for the app"),
    "moved_from": (_ONE_APP, "write it for the app"),
    "distribution": (_ONE_SHAPE, "change it for the app"),
    "processes": (_ONE_SHAPE, "name hosts in the process: processes: {NAME: {hosts: […]}}"),
    "jobs": (_ONE_SHAPE, "name the host in the job: jobs: {NAME: {host: …}}"),
    "overrides": ("is in itself", "write each group or host once"),
}
"""The keys of an app that cannot be overridden: why, and what to do instead."""


class Overrides(Strict):
    """Values for one host or group. `env` is merged by key, others replace that of the app; `null` takes it away."""

    env: Annotated[dict[values.EnvKey, EnvValue | None], MayBeEmpty(dict)] = Field(
        default_factory=dict, description="Variables besides those of the app, or in place of them."
    )
    ports: Annotated[tuple[values.Port, ...], EachOnce] | None = Field(
        default=None, description="Ports of the slots there."
    )
    firewalled: values.Flag | None = Field(default=None, description="A firewall keeps visitors from the ports there.")
    route: Route | None = Field(default=None, description="The whole route there, with the domains of these hosts.")
    health: HealthCheck | None = Field(default=None, description="The whole health check there.")
    drain_seconds: Annotated[int, Whole(0, 3600)] | None = Field(
        default=None, description="Longest wait for open requests of the old instance there."
    )
    soak_seconds: Annotated[int, Whole(0, 86_400)] | None = Field(
        default=None, description="How long the old instance stays warm there."
    )
    drift: Literal["correct", "warn"] | None = Field(
        default=None, description="Put back what was changed there by hand, or only warn about it."
    )
    stop_seconds: Annotated[int, Whole(1, 3600)] | None = Field(
        default=None, description="Time to stop there after SIGTERM, before SIGKILL."
    )
    keep_releases: Annotated[int, Whole(2, 100)] | None = Field(
        default=None, description="Releases to keep there, including the running one."
    )
    memory_max: values.Memory | None = Field(default=None, description="Memory limit of one instance there.")
    cpu_max: values.CpuShare | None = Field(default=None, description="CPU limit of one instance there.")
    sandbox: Sandbox | None = Field(default=None, description="The protections to switch off there.")

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, written: object) -> object:
        for key in written if isinstance(written, dict) else ():
            if found := SAME_EVERYWHERE.get(key):
                raise refuse(*found, at=(key,))
        if isinstance(written, dict) and "ports" in written and not written["ports"]:
            raise refuse("cannot be taken away: with a port or without is two kinds of app", "name one", at=("ports",))
        return written

    @model_validator(mode="after")
    def _check_some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("overrides nothing", "write a key below it, or delete it")
        return self
