"""A look at everything, and what a pass would do about it. Changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from reconciler.decide.plan import AppPlan, plan
from reconciler.engine.converge import Pass
from reconciler.engine.order import Order
from reconciler.engine.progress import Progress
from reconciler.engine.stale_clone import not_behind
from reconciler.model.action import Converged
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.observe.lease import controller
from reconciler.targets.open_fleet import Session
from reconciler.targets.resolve import Target

Foreseen = tuple[Target, ObservedHost | Unreachable, AppPlan]


async def preview(opened: Session, *, allow_prune: bool = False) -> list[Foreseen]:
    """For each target, removals last: what was seen and what would be done."""
    who = replace(controller(opened.owner), revision=opened.desired.revision)
    quiet = Progress(lambda event, **fields: None, terminal=False)
    work = Pass(opened.hosts, opened.sites, opened.targets, who, quiet)
    looks = {name: asyncio.create_task(work.look(name)) for name in sorted(opened.hosts)}
    order = Order(opened.targets, who.owner, looks)
    targets = list(opened.targets)
    if opened.whole:
        named = {(target.wanted.app, target.wanted.host) for target in targets}
        targets += await order.removals(opened.sites, named, allow_prune=allow_prune)
    foreseen: list[Foreseen] = []
    coming = set[str]()  # hosts whose Traefik does not answer now, but will when its turn is over
    for target in targets:
        seen = await looks[target.wanted.host]
        if isinstance(seen, ObservedHost) and target.wanted.host in coming:
            facts = replace(seen.facts, route_trouble="")  # its folder comes with it
            seen = replace(seen, traefik="", entry_points=None, facts=facts)
        target = await not_behind(await order.without_second_migration(target), seen, who, opened.behind)
        ahead = plan(target.wanted, seen)
        if target.wanted.proxy and ahead.actions and isinstance(ahead.end, Converged):
            coming.add(target.wanted.host)
        foreseen.append((target, seen, ahead))
    await asyncio.gather(*looks.values())
    return foreseen
