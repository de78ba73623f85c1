"""The preview: look at every host, and plan a pass. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.fleet import next_steps
from reconciler.decide.plan import AppPlan, plan_fleet
from reconciler.engine.fleet import desired_fleet, look_at
from reconciler.engine.known import Known
from reconciler.model.action import Blocked, Converged
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Controller, Target
from reconciler.observe.lease import new_controller
from reconciler.targets.open_fleet import OpenFleet


@dataclass(frozen=True)
class Preview:
    """The looks, and the plan of each app on each host, removals last."""

    hosts: Mapping[str, ObservedHost | Unreachable]
    plans: Mapping[Key, AppPlan]

    def rows(self, opened: OpenFleet) -> list[tuple[Target, ObservedHost | Unreachable, AppPlan]]:
        """Each plan with its target and the look at its host, except those in `without_target`."""
        targets = opened.every_target
        return [
            (targets[key].target if key in targets else Target.removal(key[1], key[0]), self.hosts[key[1]], plan)
            for key, plan in self.plans.items()
            if key in targets or (key[0] and key not in opened.refused)
        ]

    def without_target(self, opened: OpenFleet) -> list[Blocked]:
        """The blocks of targets that cannot be worked out, and of unreachable hosts without a target."""
        ends = [plan.end for key, plan in self.plans.items() if not key[0] or key in opened.refused]
        return [end for end in ends if isinstance(end, Blocked)]


async def preview(opened: OpenFleet, *, allow_prune: bool = False) -> Preview:
    """Return what a pass would do now. Raises GitError."""
    who = replace(new_controller(opened.owner), revision=opened.desired.revision)
    looks = await asyncio.gather(*(look_at(opened, host, who) for host in sorted(opened.hosts)))
    known = Known({look.host: look for look in looks})
    desired, seen = desired_fleet(opened, allow_prune=allow_prune), SeenFleet(known.hosts)
    seen = replace(seen, behind=await _behind(opened, known, who, desired, seen))
    return Preview(known.hosts, plan_fleet(desired, seen))


async def _behind(
    opened: OpenFleet, known: Known, who: Controller, desired: DesiredFleet, seen: SeenFleet
) -> dict[Key, str]:
    """Ask git about the commits of the apps that have something to do, and of no others."""
    acts = [key for key, step in next_steps(desired, seen).items() if not isinstance(step, Converged | Blocked | Wait)]
    asked = [key for key in acts if opened.behind and known.must_ask_git(key, who)]
    answers = {key: await opened.behind(known.commit_of(key) or "") for key in asked if opened.behind}
    return {key: why for key, why in answers.items() if why}
