"""A look at everything, and what a pass would do about it. Changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from reconciler.decide.plan import AppPlan, plan
from reconciler.engine.converge import Pass
from reconciler.engine.order import Schedule
from reconciler.engine.progress import Progress
from reconciler.engine.stale_clone import mark_if_behind
from reconciler.model.action import Converged
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import TargetFiles

Foreseen = tuple[TargetFiles, ObservedHost | Unreachable, AppPlan]


async def preview(opened: OpenFleet, *, allow_prune: bool = False) -> list[Foreseen]:
    """For each target, removals last: what was seen and what would be done."""
    who = replace(new_controller(opened.owner), revision=opened.desired.revision)
    quiet = Progress(lambda event, **fields: None, terminal=False)
    work = Pass(opened.hosts, opened.sites, opened.targets, who, quiet)
    looks = {name: asyncio.create_task(work.look(name)) for name in sorted(opened.hosts)}
    schedule = Schedule(opened.targets, who.owner, looks)
    targets = list(opened.targets)
    if opened.whole:
        named = {(files.target.app, files.target.host) for files in targets}
        targets += await schedule.removals(opened.sites, named, allow_prune=allow_prune)
    foreseen: list[Foreseen] = []
    coming = set[str]()  # hosts whose Traefik does not answer now, but will when its turn is over
    for files in targets:
        seen = await looks[files.target.host]
        if isinstance(seen, ObservedHost) and files.target.host in coming:
            facts = replace(seen.facts, route_trouble=None)  # its folder comes with it
            seen = replace(seen, traefik=None, entry_points=None, facts=facts)
        files = await mark_if_behind(await schedule.skip_second_migration(files), seen, who, opened.behind)
        ahead = plan(files.target, seen)
        if files.target.proxy and ahead.actions and isinstance(ahead.end, Converged):
            coming.add(files.target.host)
        foreseen.append((files, seen, ahead))
    await asyncio.gather(*looks.values())
    return foreseen
