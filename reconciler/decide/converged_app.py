"""converged_app(target): what a look shows of an app with which nothing is left to do. Pure."""

from __future__ import annotations

from reconciler.model.observed import AppliedRoute, HookMark, ObservedApp, RouteFile, Slot
from reconciler.model.observed_job import ObservedJob
from reconciler.model.target import Target


def converged_app(target: Target, owner: str) -> ObservedApp:
    """Return the app as its first rollout leaves it, in its first slot. The target's release must be known."""
    assert target.release is not None
    identity, name = target.identity(target.release), target.slots[0]
    slot = Slot(
        name,
        prepared=identity,
        env_keys=target.env_keys,
        state="active",
        running=identity,
        invocation="+",
        enabled=True,
        listening=bool(target.health_path) or target.port_asked,
        health="200",
        healthy=True,
    )
    digest = target.route.digests[name] if target.route else ""
    return ObservedApp(
        slots=(slot,),
        releases=(target.release,),
        migrated=(target.migration(target.release),) if target.migrates else (),
        unit=target.unit,
        owner=owner,
        route=RouteFile(name, digest, intact=True, parts=target.route.parts) if target.route else None,
        applied=AppliedRoute(name, digest) if target.route else None,
        jobs=tuple(ObservedJob(job.name, job.files, scheduled=job.timed) for job in target.jobs),
        hook=HookMark("after_rollout", identity, "done") if "after_rollout" in target.hooks else None,
    )
