"""converged_app(target): what a look shows of an app with which nothing is left to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.model.observed import EDGE, AppliedRoute, HookMark, ObservedApp, RouteFile, Slot
from reconciler.model.observed_job import ObservedJob
from reconciler.model.target import Target


def balanced_edge(target: Target, servers: Mapping[str, str], app: ObservedApp | None, owner: str) -> ObservedApp:
    """Return what is seen of an app on its edge, with the list of these slots by host, when nothing is left to do."""
    digest, parts = (target.route.digests[EDGE], target.route.parts) if target.route else ("", ())
    listed = tuple(sorted(servers.items()))
    addresses = tuple(f"{address}:{servers[host]}" for host, address in target.places if host in servers)
    route = RouteFile(EDGE, digest, intact=True, parts=parts, attempt=1, servers=listed)
    applied = AppliedRoute(EDGE, digest, attempt=1, servers=tuple(sorted(addresses)))
    return replace(app or ObservedApp(owner=owner), route=route, applied=applied)


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
    own = None if target.edges else target.route  # what edges route is stored on them
    digest = own.digests[name] if own else ""
    return ObservedApp(
        slots=(slot,),
        releases=(target.release,),
        migrated=(target.migration(target.release),) if target.migrates else (),
        unit=target.unit,
        owner=owner,
        route=RouteFile(name, digest, intact=True, parts=own.parts) if own else None,
        applied=AppliedRoute(name, digest) if own else None,
        jobs=tuple(ObservedJob(job.name, job.files, scheduled=job.timed) for job in target.jobs),
        hook=HookMark("after_rollout", identity, "done") if "after_rollout" in target.hooks else None,
    )
