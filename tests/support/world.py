"""The model host: `expected` plus faults. Tests try every crash point and every bad release in it.

`behaviour` sets how a release behaves: "ok", "crashes" (never healthy), "dies" (healthy, then dead at the cutover).
The invariants that the model can show are asserted in every state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reconciler.decide.expected import expected_host, forget_evidence
from reconciler.decide.next_action import next_action
from reconciler.model.action import (
    AnyAction,
    Blocked,
    ConfirmRoute,
    Converged,
    Cutover,
    EnableInstance,
    Soak,
    Step,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, ObservedApp, ObservedHost, UnitState
from reconciler.model.target import Target, TargetRoute


def wanted(
    version: str = "1", *, env: str = "e1", slots: tuple[str, ...] = ("4000", "4001"), **changes: object
) -> Target:
    """A routed app with two slots; `changes` replaces any field."""
    domains = ("example.com",)
    routes = {slot: f"route-{slot}" for slot in slots}
    base = Target(
        host="a",
        app="hello",
        version=version,
        release=f"{version}-{'0' * 12}",
        env=env,
        unit="u1",
        slots=slots,
        env_keys=(("GREETING", env),),
        route=TargetRoute(domains, routes),
        health_path="/ping",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """The true state of one host with one app; `look` shows it without evidence."""

    seen: ObservedHost = field(default_factory=lambda: ObservedHost("a"))
    behaviour: dict[str, str] = field(default_factory=dict)
    actions: list[AnyAction] = field(default_factory=list)
    once_served: bool = False
    crowded: bool = False  # there is no room for two copies: the old one stops first, and the plan says so
    traefik_lags: bool = False
    disabled_by_hand: bool = False  # the routed slot, until that is put right
    dies_in_soak: set[str] = field(default_factory=set)  # releases that fail after their cutover

    @property
    def app(self) -> ObservedApp:
        return self.seen.app("hello")

    def look(self) -> ObservedHost:
        """A fresh look. Unless Traefik lags it has applied by now the route file in its folder."""
        if self.app.route and not self.traefik_lags and not self.seen.traefik:
            applied = AppliedRoute(self.app.route.slot, self.app.route.digest, attempt=self.app.route.attempt)
            self.seen = self.seen.with_app("hello", replace(self.app, applied=applied))
        return self.seen.with_app("hello", forget_evidence(self.app))

    def apply(self, action: AnyAction, target: Target) -> ObservedHost:
        """Apply the action to the world; return a fresh observation with the evidence that the action gathered."""
        self.check_before(action)
        self.actions.append(action)
        self.seen = self._with_faults(action, expected_host(self.seen, action, target), target)
        self.check(target)
        return self.seen

    def _with_faults(self, action: AnyAction, after: ObservedHost, target: Target) -> ObservedHost:
        if isinstance(action, WaitHealthy):
            slot = self.app.slot(action.slot)
            if slot.running and self._bad(slot.running):
                failed = replace(slot, healthy=False, healthy_for_seconds=None, failure="exited 2 times")
                return self.seen.with_app("hello", forget_evidence(self.app).with_slot(failed))
        if isinstance(action, Soak):
            slot = self.app.slot(action.slot)
            if slot.running and slot.running.release in self.dies_in_soak:
                failed = replace(slot, healthy=False, failure="it exited after the cutover")
                return self.seen.with_app("hello", forget_evidence(self.app).with_slot(failed))
        if isinstance(action, ConfirmRoute) and self.seen.traefik:
            return self.seen.with_app("hello", replace(forget_evidence(self.app), unconfirmed="not within 10 s"))
        return after

    def _bad(self, identity: Identity) -> bool:
        return self.behaviour.get(identity.release, "ok") != "ok" or self.behaviour.get(identity.env, "ok") != "ok"

    # What must be true of every action and of every state.

    def check_before(self, action: AnyAction) -> None:
        app = self.app
        if isinstance(action, StopInstance):
            routed = {app.route.slot if app.route else "", app.applied.slot if app.applied else ""}
            assert action.slot not in routed, f"stops what is routed: {action}"
        if isinstance(action, Cutover | EnableInstance):
            slot = app.slot(action.slot)
            was_accepted = slot.previous is None and (slot.enabled or (app.route and app.route.slot == slot.name))
            assert was_accepted or slot.healthy_for_seconds, f"accepts the unproven: {action}"

    def check(self, target: Target) -> None:
        app = self.app
        running = [slot for slot in app.slots if slot.running_now]
        assert len(running) <= 2, "more than two instances"
        if app.route:
            enabled = app.slot(app.route.slot).enabled
            self.disabled_by_hand = self.disabled_by_hand and not enabled
            assert enabled or self.disabled_by_hand, "the routed slot is not enabled"
        for slot in running:
            assert slot.running and slot.running.release in (*app.releases, *app.leftovers), "runs a pruned release"
        if len(target.slots) == 1 or not target.route or self.crowded:
            return
        serves = app.applied and app.slot(app.applied.slot).running_now
        bad = bool(app.applied and (r := app.slot(app.applied.slot).running) and self._bad(r))
        assert not bad, "routes to a release that was never healthy"
        self.once_served = self.once_served or bool(serves)
        assert serves or not self.once_served, "nobody serves any more"

    def reboot(self, target: Target) -> None:
        """Reboot: exactly the enabled slots start again, from the files on disk."""
        slots = []
        for slot in self.app.slots:
            if slot.on_trial:
                slot = replace(slot, prepared=slot.previous, previous=None, on_trial=False)
            state: UnitState = "active" if slot.enabled else "inactive"
            running = slot.prepared if slot.enabled else None
            slots.append(replace(slot, state=state, running=running, open_connections=0, healthy=None))
        for slot in slots:
            assert not (slot.running and self._bad(slot.running)), "a reboot brings back what was never healthy"
        route = self.app.route
        applied = AppliedRoute(route.slot, route.digest, attempt=route.attempt) if route else None
        self.seen = self.seen.with_app("hello", replace(forget_evidence(self.app), slots=tuple(slots), applied=applied))
        self.check(target)


def run_pass(world: World, target: Target, cut_after: int | None = None) -> Step | None:
    """One pass over the model. With `cut_after`, the controller dies after so many actions and None comes back."""
    seen = world.look()
    for count in range(60):
        step = next_action(target, seen)
        if isinstance(step, Converged | Blocked):
            return step
        if cut_after is not None and count >= cut_after:
            return None
        seen = world.apply(step, target)
    raise AssertionError(f"the pass does not end: {world.actions[-6:]}")
