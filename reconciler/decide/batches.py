"""How a version goes over the hosts of an app: batch after batch, with pauses, until it has failed too often. Pure.

Nothing is stored about a rollout. How far it is, where it failed and how long a batch has run is read from the hosts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconciler.decide.slots import live_slot
from reconciler.model.action import Blocked, Converged, Step
from reconciler.model.defaults import Rollout
from reconciler.model.fleet import DesiredFleet, SeenFleet, Wait
from reconciler.model.observed import ObservedHost
from reconciler.model.systemd_time import since_epoch
from reconciler.model.target import Target

MOST_NAMES = 5


def groups(hosts: Sequence[str], batch: Sequence[str]) -> list[list[str]]:
    """Return the hosts in the order they may be changed: the first alone, then batches of a number or a share of all.

    Each item of `batch` is the size of one batch, and the last one is that of the rest. A 1 at its beginning is the
    first host itself. groups(["a", "b", "c", "d"], ["50%"]) == [["a"], ["b", "c"], ["d"]]
    """
    if not hosts:
        return []
    sizes = [*(batch[1:] if len(batch) > 1 and batch[0] == "1" else batch)]
    found, rest = [[hosts[0]]], [*hosts[1:]]
    while rest:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        count = math.ceil(len(hosts) * int(size[:-1]) / 100) if size.endswith("%") else int(size)
        found.append(rest[:count])
        rest = rest[count:]
    return found


def failed_on(steps: Mapping[str, Sequence[Step | Wait]]) -> list[str]:
    """The hosts, of these with the steps of an app and its processes, on which the version has failed."""
    return [
        host for host, each in steps.items() if any(isinstance(s, Blocked) and s.kind == "quarantined" for s in each)
    ]


@dataclass(frozen=True)
class Course:
    """The batches of one app, and the hosts on which its version has failed."""

    app: str
    rollout: Rollout
    batches: list[list[str]]
    failed: Collection[str] = ()

    @property
    def halted(self) -> str | None:
        """Why the version goes to no other host, although it may fail on some; None if it has not failed too often."""
        most = self.rollout.max_failures
        if most == 1 or len(self.failed) < most:
            return None
        names = ", ".join(sorted(self.failed)[:MOST_NAMES]) + (", …" if len(self.failed) > MOST_NAMES else "")
        return f"halted: {self.app} failed on {len(self.failed)} hosts, and max_failures is {most}: {names}"

    def goes_on_without(self, host: str) -> bool:
        """True if later batches do not wait for this host: the version has failed there, and on few others.

        The first host proves the version. If it fails there, nothing goes on.
        """
        first = bool(self.batches) and host in self.batches[0]
        return host in self.failed and not first and len(self.failed) < self.rollout.max_failures

    def awaited(self, index: int, host: str) -> str:
        """How the reason begins for which a host waits for this one, of the batch at this index."""
        if len(self.rollout.batch) == 1:
            return f"waits for host {host}: "
        return f"waits for batch {index + 1} of {len(self.batches)}: "

    def pause(
        self,
        index: int,
        host: str,
        desired: DesiredFleet,
        seen: SeenFleet,
        steps: Mapping[tuple[str, str], Step | Wait],
    ) -> Wait | None:
        """Return the wait for the batch before this one to have run for long enough; None if it has."""
        if not self.rollout.pause_seconds or not index:
            return None
        for batch in reversed(self.batches[:index]):
            running = [each for each in batch if isinstance(steps.get((self.app, each)), Converged)]
            if running:
                break
        else:
            return None
        lefts = [(each, self._left(each, desired, seen)) for each in running]
        looks = tuple((each, left) for each, left in lefts if left > 0)
        reason = f"pause: every host of the batch before runs it for {self.rollout.pause_seconds} s first"
        return Wait(host, self.app, reason, looks=looks) if looks else None

    def _left(self, host: str, desired: DesiredFleet, seen: SeenFleet) -> float:
        key, look = (self.app, host), seen.host(host)
        if key in seen.rested or look is None or key not in desired.targets:
            return 0
        age = _age_seconds(desired.targets[key], look)
        return 0 if age is None else self.rollout.pause_seconds - age


def _age_seconds(target: Target, look: ObservedHost) -> float | None:
    """How long the live instance had run at the look; None if the host does not say that in a form that we read."""
    app = look.app(target.app)
    slot = live_slot(target, app)
    if slot is None or not slot.since:
        return 0.0
    began = since_epoch(slot.since)
    if began is not None:
        return max(0.0, look.facts.now_epoch_seconds - began)
    return app.route.age_seconds if app.route else None
