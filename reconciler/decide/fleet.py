"""Which host may go next: the first one proves a version, the others follow in batches, and may go back as one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reconciler.model.action import Blocked, Converged
from reconciler.model.desired import App


def groups(hosts: list[str], batch: str) -> list[list[str]]:
    """The hosts in the order they may be changed: the prover alone, then batches of a number or a share of all.

    groups(["a", "b", "c", "d"], "50%") == [["a"], ["b", "c"], ["d"]]
    """
    if not hosts:
        return []
    share = math.ceil(len(hosts) * int(batch[:-1]) / 100) if batch.endswith("%") else int(batch)
    size = max(1, share)
    rest = hosts[1:]
    return [hosts[:1], *(rest[i : i + size] for i in range(0, len(rest), size))]


@dataclass(frozen=True)
class Failure:
    """A version that failed on one host of an app, and those of its other hosts that it has reached."""

    app: App
    host: str
    others: tuple[str, ...]

    @property
    def reason(self) -> str:
        return f"rolled back, since it failed on host {self.host}"


def failures(apps: Iterable[App], ends: Collection[Converged | Blocked]) -> list[Failure]:
    """What the policy `on_failure: rollback` rolls back after a pass that ended so."""
    found = []
    for app in apps:
        own = [end for end in ends if end.app == app.app]
        failed = [end.host for end in own if isinstance(end, Blocked) and end.kind == "quarantined"]
        reached = [end.host for end in own if isinstance(end, Converged) and end.version]
        if app.rollout.on_failure == "rollback" and failed and reached:
            found.append(Failure(app, failed[0], tuple(reached)))
    return found
