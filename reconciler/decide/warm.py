"""The former instance after a cutover: while it is kept warm, the route can be given back to it. Pure."""

from __future__ import annotations

from reconciler.decide import hooks
from reconciler.decide.case import Case
from reconciler.decide.routing import next_attempt
from reconciler.model.action import GoBack
from reconciler.model.observed import ObservedApp, Slot


def warm_slot(app: ObservedApp, live: Slot) -> Slot | None:
    """Return the slot beside the live one whose instance still runs and would be back after a reboot, or None."""
    return next((each for each in app.slots if each.name != live.name and each.running_now and each.enabled), None)


def go_back(case: Case, warm: Slot, why: str) -> GoBack:
    """Give the route back to the warm instance, and quarantine the release that has it."""
    mark, attempt = hooks.mark_of(case.target, "on_failure"), next_attempt(case)
    failed = (case.identity, why)
    return GoBack(*case.where, why, warm.name, warm.invocation, *failed, case.slot.name, attempt, hook=mark)
