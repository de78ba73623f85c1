"""The fleet rollbacks under way: the targets that they replace, and the end of each rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from reconciler.decide.fleet import Failure
from reconciler.engine.rollback import Rollback
from reconciler.model.fleet import Key
from reconciler.model.process_name import family_of
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.target_files import TargetFiles


@dataclass
class Rollbacks:
    """At most one rollback per app. `look_at` is called with the hosts it marked; `busy()` names hosts with actions."""

    look_at: Callable[[Iterable[str]], None]
    busy: Callable[[], Collection[str]]
    by_app: dict[str, Rollback] = field(default_factory=dict)

    def begin(self, failure: Failure, opened: OpenFleet, who: Controller) -> None:
        rollback = self.by_app[failure.app.app] = Rollback(failure, opened, who)
        rollback.task = asyncio.create_task(self._prepare(rollback))

    def of(self, key: Key) -> Rollback | None:
        """The rollback of this app, or of the app that this is a process of, if it concerns this host."""
        rollback = self.by_app.get(family_of(key[0]))
        return rollback if rollback and key[1] in rollback.failure.others else None

    @property
    def files(self) -> dict[Key, TargetFiles]:
        """The targets that replace those of the desired state while the rollbacks last."""
        return {key: files for rollback in self.by_app.values() for key, files in rollback.files.items()}

    def are_preparing(self, apps: Collection[str] | None = None) -> bool:
        """True if the rollback of one of these apps (by default, of any) is not prepared yet."""
        return any(not each.prepared for app, each in self.by_app.items() if apps is None or app in apps)

    def want(self, opened: OpenFleet) -> None:
        """Call off each rollback whose failed version the newer desired state no longer asks for."""
        for app, rollback in [*self.by_app.items()]:
            if not rollback.is_still_wanted(opened):
                rollback.task.cancel()
                del self.by_app[app]

    def hold(self) -> None:
        """Call off the rollbacks that are still being prepared."""
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
