"""An app of which a process cannot be worked out stays as it is, since a version is all of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.decide.order import FleetStep
from reconciler.decide.serving import serving_version
from reconciler.decide.slots import has_taken_over
from reconciler.model.action import (
    Blocked,
    Cutover,
    EnableInstance,
    HoldVisitors,
    InstallRelease,
    Migrate,
    StartInstance,
)
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet
from reconciler.model.observed import ObservedHost
from reconciler.model.process_name import family_of, is_process
from reconciler.model.target import Target

_BEGINS = InstallRelease | Migrate | HoldVisitors | StartInstance | Cutover | EnableInstance


def incomplete(desired: DesiredFleet, seen: SeenFleet, steps: Mapping[Key, FleetStep]) -> dict[Key, Blocked]:
    """Return the apps that do not begin a version, or end with it, for want of a process. What drifted is restored."""
    result = {}
    for (name, host), refused in desired.refused.items():
        leader = family_of(name), host
        look, step, target = seen.host(host), steps.get(leader), desired.targets.get(leader)
        if not is_process(name) or look is None or target is None or leader in seen.under_way:
            continue
        if isinstance(step, _BEGINS) and step.drift is None and not _must_go_on(target, look):
            reason, serving = f"waits for {name}: {refused.reason}", serving_version(target, look)
            result[leader] = Blocked(host, leader[0], reason, refused.next_step, serving, kind="waiting")
    return result


def _must_go_on(target: Target, look: ObservedHost) -> bool:
    """True if the app has taken over, or if visitors wait for what its only slot starts."""
    app = look.app(target.app)
    return has_taken_over(target, app) or app.hold == "armed"
