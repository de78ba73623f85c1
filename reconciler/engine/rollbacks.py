"""The fleet rollbacks under way: what is wanted in their place, and when they are called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from reconciler.decide.fleet import Failure
from reconciler.engine.rollback import Rollback
from reconciler.model.fleet import Key
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import TargetFiles


@dataclass
class Rollbacks:
    """At most one for each app. `look_at(hosts)` is called when these were marked, `busy()` names hosts at work."""

    look_at: Callable[[Iterable[str]], None]
    busy: Callable[[], Collection[str]]
    by_app: dict[str, Rollback] = field(default_factory=dict)

    def begin(self, failure: Failure, opened: OpenFleet, who: Controller) -> None:
        rollback = self.by_app[failure.app.app] = Rollback(failure, opened, who)
        rollback.task = asyncio.create_task(self._prepare(rollback))

    def of(self, key: Key) -> Rollback | None:
        """The rollback of this app, if it goes back on this host."""
        rollback = self.by_app.get(key[0])
        return rollback if rollback and key[1] in rollback.failure.others else None

    @property
    def files(self) -> dict[Key, TargetFiles]:
        """What is wanted for now in place of what the desired state says."""
        return {key: files for rollback in self.by_app.values() for key, files in rollback.files.items()}

    def are_preparing(self, apps: Collection[str] | None = None) -> bool:
        """One of these (by default, any) does not know yet what it goes back to."""
        return any(not each.prepared for app, each in self.by_app.items() if apps is None or app in apps)

    def want(self, opened: OpenFleet) -> None:
        """Call off those whose version a newer desired state no longer asks for."""
        for app, rollback in [*self.by_app.items()]:
            if not rollback.is_still_wanted(opened):
                rollback.task.cancel()
                del self.by_app[app]

    def hold(self) -> None:
        """Call off those that are still being prepared."""
        for app, rollback in [*self.by_app.items()]:
            rollback.task.cancel()
            if not rollback.prepared:
                del self.by_app[app]

    def end(self, apps: Iterable[str]) -> None:
        for app in apps:
            self.by_app.pop(app, None)

    async def _prepare(self, rollback: Rollback) -> None:
        await rollback.prepare(self.busy())
        rollback.prepared = True
        self.look_at(rollback.failure.others)
