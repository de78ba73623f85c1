"""One pass: bring the fleet to the desired state, and return when nothing is left to do for now."""

from __future__ import annotations

from dataclasses import replace

from reconciler.engine.engine import Engine
from reconciler.engine.progress import Progress
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import OpenFleet


async def converge(
    opened: OpenFleet,
    progress: Progress,
    who: Controller | None = None,
    *,
    wait_lock_seconds: float = 0.0,
    allow_prune: bool = False,
) -> list[Outcome]:
    """Run one pass and return the outcome of every app on every host, removals last.

    Waits up to `wait_lock_seconds` for another controller that has the lease of a host.
    """
    outcomes: list[Outcome] = []

    def report(opened: OpenFleet, ended: list[Outcome], seconds: float) -> None:
        outcomes.extend(ended)

    who = replace(who or new_controller(opened.owner), revision=opened.desired.revision)
    engine = Engine(opened, who, progress, report, wait_lock_seconds, allow_prune)
    engine.begin_turn()
    await engine.run(until_rest=True)
    return outcomes
