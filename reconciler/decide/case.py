"""The input of every part of a rollout: one app on one host."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.serving import serving_version
from reconciler.errors import Kind
from reconciler.model.action import Blocked
from reconciler.model.identity import Identity
from reconciler.model.observed import ObservedApp, ObservedHost, Slot
from reconciler.model.target import Target


@dataclass(frozen=True)
class Case:
    """One app on one host, with the slot that was chosen for the desired release."""

    target: Target
    seen: ObservedHost
    app: ObservedApp
    live: Slot | None
    slot: Slot  # where the desired release runs or will run
    identity: Identity
    crowded: str | None = None  # why there is no room for a second copy

    @property
    def accepted(self) -> bool:
        """True if this slot was accepted before: the route names it, or, without a route, it is enabled.

        A slot is enabled only after it was healthy, so a deleted route file can be written again at once.
        """
        if self.slot.previous:
            return False
        route = self.app.route
        if self.target.route and route and route.slot:
            return route.slot == self.slot.name
        return self.slot.enabled

    def block(self, kind: Kind, reason: str, next_step: str | None = None, log_tail: tuple[str, ...] = ()) -> Blocked:
        serving = serving_version(self.target, self.seen)
        return Blocked(self.target.host, self.target.app, reason, next_step, serving, log_tail, kind=kind)

    @property
    def where(self) -> tuple[str, str]:
        return self.target.host, self.target.app
